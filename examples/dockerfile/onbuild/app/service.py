import os
import sys

print(f"{os.environ['SERVICE']} as user {os.getuid()}: {' '.join(sys.argv[1:])}")
