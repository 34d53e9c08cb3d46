#!/bin/sh
# Even ranks are C++, odd ones Python. MIXED_PROGRAM: the built mixed_python_cpp; PYTHON: an interpreter with torch.
if [ $((RANK % 2)) -eq 0 ]; then
  exec "${MIXED_PROGRAM:-$(dirname "$0")/mixed_python_cpp}"
fi
exec "${PYTHON:-python3}" "$(dirname "$0")/mixed_python_cpp.py"
