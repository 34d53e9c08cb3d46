"""python -m ferrun_worker ...: becomes the trainer."""

from ferrun_worker import main

if __name__ == "__main__":
    main()
