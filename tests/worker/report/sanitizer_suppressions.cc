// What the sanitizers cannot see in libraries that they have not compiled. Fontconfig keeps what it knows of the fonts
// until the process ends, in places where LeakSanitizer does not look. Pango looks for fonts on a thread of its own and
// hands them over under GLib's locks, which ThreadSanitizer does not know.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig\n"; }

extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:libpangoft2\nrace:libfontconfig\nrace:libglib\n"; }
