#include "launcher/config/file_nature.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

TEST(FileNature, IsReadFromTheBeginning) {
  EXPECT_EQ(nature_of("\x7f"
                      "ELF\x02"),
            FileNature::kProgram);
  EXPECT_EQ(nature_of("PK\x03\x04rest"), FileNature::kArchive);
  EXPECT_EQ(nature_of("PK\x05\x06rest"), FileNature::kArchive);
  EXPECT_EQ(nature_of(""), FileNature::kText);
  EXPECT_EQ(nature_of("\xef\xbb\xbf# \xc3\xa4\r\n\tpass\f\n"), FileNature::kText);
  EXPECT_EQ(nature_of("PK is text\n"), FileNature::kText);
  EXPECT_EQ(nature_of(std::string_view("a\0b", 3)), FileNature::kData);
  EXPECT_EQ(nature_of("\x01 no text"), FileNature::kData);
}

TEST(FileNature, ByteCodeHasAHeader) {
  const std::string magic = "\xa7\x0d\r\n";
  EXPECT_EQ(nature_of(magic + std::string(12, '\0')), FileNature::kByteCode);
  EXPECT_EQ(nature_of(magic + std::string("\x03\0\0\0", 4) + "12345678"), FileNature::kByteCode) << "by its hash";
  EXPECT_EQ(nature_of(magic + std::string(11, '\0')), FileNature::kData);
  EXPECT_EQ(nature_of(magic + std::string("\x09\0\0\0", 4) + "12345678"), FileNature::kData);
}

TEST(FileNature, AScriptNamesItsInterpreter) {
  for (const char* line : {"#!/usr/bin/python3", "#! /usr/bin/python3.11 -E\n", "#!/usr/bin/env python\n",
                           "#!/usr/bin/env -S python3 -u\n", "#!/usr/bin/env -S A=b pypy3\n", "#!python3.13t\r\n",
                           "#!/venv/bin/python\nPK\x03\x04"}) {
    EXPECT_EQ(nature_of(line), FileNature::kPythonScript) << line;
  }
  for (const char* line : {"#!/bin/sh\n# python\n", "#!/opt/python/bin/bash\n", "#!/usr/bin/env -S uv run\n", "#!",
                           "#!\n", "#!/usr/bin/env\n", "#!/usr/bin/env ipython\n"}) {
    EXPECT_EQ(nature_of(line), FileNature::kOtherScript) << line;
  }
}

TEST(FileNature, TellsTheInterpreter) {
  EXPECT_EQ(interpreter_of("#! /bin/sh -e\n"), "/bin/sh");
  EXPECT_EQ(interpreter_of("#!/usr/bin/env -S A=b perl -w\n"), "perl");
  EXPECT_EQ(interpreter_of("#!/usr/bin/env\n"), "/usr/bin/env");
  EXPECT_EQ(interpreter_of("#!"), "");
  EXPECT_EQ(interpreter_of("/bin/sh"), "");
}

}  // namespace
}  // namespace ferrun
