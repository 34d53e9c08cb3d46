"""python -m ferrun ...: becomes the program, which runs scripts with this Python."""

import sys

from ferrun.program import become

if __name__ == "__main__":
    become(sys.argv[1:])
