import os
from pathlib import Path

greeting = Path(__file__).with_name("greeting.txt").read_text().strip()
print(f"{greeting} from pybuild, as user {os.getuid()}")
