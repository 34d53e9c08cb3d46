// Fontconfig keeps what it knows of the fonts until the process ends, in places where LeakSanitizer does not look.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig\n"; }
