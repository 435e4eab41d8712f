"""The suite's command, for Python 2.7: the folder it was installed into, then its own arguments."""

import site
import sys

# Not only a path: the packages of one of its namespaces are announced by a .pth file.
site.addsitedir(sys.argv.pop(1))

from autobahntestsuite.wstest import run

run()
