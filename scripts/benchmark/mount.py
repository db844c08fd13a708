"""A mount in the foreground, with an empty cache, that goes away however its user ends."""

import os
import subprocess
import time

from .base import PATIENCE, Wrong, cpu_seconds, peak_mib, run, stop


class Mount:
    """Starts with the value; answers from `__enter__` on."""

    def __init__(self, command, point, environment):
        self.point = point
        self.point.mkdir()
        self.log = open(point.with_suffix(".log"), "w+")
        self.process = subprocess.Popen(
            [str(word) for word in command], stdout=self.log, stderr=self.log, env={**os.environ, **environment}
        )

    def __enter__(self):
        limit = time.monotonic() + 60
        try:
            while not os.path.ismount(self.point):
                if self.process.poll() is not None or time.monotonic() > limit:
                    self.log.seek(0)
                    raise Wrong(f"the mount did not come about: {self.log.read().strip()}")
                time.sleep(0.002)
        except BaseException:
            self.__exit__()
            raise
        return self

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def peak_mib(self):
        return peak_mib(self.process.pid)

    def sizes(self):
        """What the mount shows: files by path, with their sizes."""
        return {str(path.relative_to(self.point)): path.stat().st_size
                for path in self.point.rglob("*") if path.is_file()}

    def forget_pages(self, name):
        """Drops the kernel's pages of a file; what the daemon has cached stays."""
        descriptor = os.open(self.point / name, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)

    def end(self):
        """Unmounts in order, and waits until the daemon has done what it still had to do."""
        run("fusermount3", "-u", self.point)
        self.process.wait(PATIENCE)

    def __exit__(self, *_):
        if os.path.ismount(self.point):
            subprocess.run(["fusermount3", "-uz", self.point], check=False, stderr=subprocess.DEVNULL)
        stop(self.process)
        self.log.close()
