"""Build of the package: a wheel carries the ``model.py`` of each numbered folder, in ``cxr14/networks/``."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithNetworks(build_py):
    """Copies the files that no package of Python contains; a checkout needs no copies."""

    def run(self) -> None:
        """Build the packages, then add the networks."""
        super().run()
        if self.editable_mode:
            return
        for path in sorted(Path(__file__).parent.glob("[0-9]*/model.py")):
            copy = Path(self.build_lib, "cxr14", "networks", path.parent.name, path.name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(path), str(copy))


setup(cmdclass={"build_py": BuildWithNetworks})
