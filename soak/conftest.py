"""The long forms use the helpers and the fixtures of the tests in `tests/`."""

import importlib.util
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

# Under a name of its own: this file is called conftest as well.
specification = importlib.util.spec_from_file_location("conftest_of_tests", TESTS / "conftest.py")
conftest = importlib.util.module_from_spec(specification)
specification.loader.exec_module(conftest)

records, serve = conftest.records, conftest.serve
