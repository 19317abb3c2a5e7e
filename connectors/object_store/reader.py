"""Reading an object of a store as a file, by ranges, over any number of cut connections."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from connectors.errors import SourceError, SourceNotFoundError
from connectors.object_store.faults import Asking
from connectors.object_store.storage import Location, StorageOptions

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Buffer

RANGE_BYTES = 4 * 1024 * 1024
"""How much is asked for at a time: a request costs as much as some hundred kilobytes, and a reader holds one answer."""


class ObjectReader(io.RawIOBase):
    """An object as a file that can be read and sought in, without ever holding more of it than is asked for.

    Every range is asked for again where a fault may pass, so reading goes on where it was.

    Attributes:
        size: of the object, in bytes, as it was listed.
    """

    def __init__(self, address: str, size: int, storage: StorageOptions) -> None:
        self.size = size
        self._location = Location.parse(address)
        self._asking = Asking(self._location, storage, SourceError)
        self._position = 0
        self._file: pa.NativeFile | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read on elsewhere; nothing is asked of the store."""
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence] + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Fill as much of a buffer as the object has bytes.

        Raises:
            SourceError: the store says no, or the object is not the one that was listed.
        """
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self.size - self._position))
        if wanted:
            view[:wanted] = self._asking.retried(lambda: self._range(wanted))
            self._position += wanted
        return wanted

    def close(self) -> None:
        """Let go of the object."""
        self._forget()
        super().close()

    def _range(self, wanted: int) -> bytes:
        try:
            data: bytes = self._opened().read_at(wanted, self._position)
        except FileNotFoundError as error:
            raise SourceNotFoundError(
                f"{self._location.address} is not there any more; it has been removed since it was listed; run again"
            ) from error
        except OSError:
            self._forget()
            raise
        if len(data) < wanted:
            self._forget()
            raise OSError(f"a range of {wanted} bytes ended early, after {len(data)}")
        return data

    def _opened(self) -> pa.NativeFile:
        if self._file is None:
            filesystem = self._asking.storage.filesystem(self._location, SourceError)
            self._file = filesystem.open_input_file(self._location.path)
            if self._file.size() != self.size:
                found = self._file.size()
                self._forget()
                raise SourceError(
                    f"{self._location.address} has {found:,} bytes, and had {self.size:,} when it was listed; run "
                    "again, when nobody writes it"
                )
        return self._file

    def _forget(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
