"""Images read from their files while a net trains: for folders too large for memory.

Threads decode some batches ahead (Pillow lets other threads run meanwhile), and never more: what is in memory does not
grow with the folder. The batches are those of kernelfit.nn.images.Images for the same pixels, in the same order and
with the same crops for any number of threads.
"""

import collections
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from kernelfit.common.errors import DataError
from kernelfit.datasets.read.images import upright
from kernelfit.nn.images import CROP, check_crop, whiten

_AHEAD = 2  # batches that are decoded before they are asked for


class FolderImages:
    """A split of a StreamedDataset as a net sees it: what Images is for arrays, with the same attributes.

    Parameters
    ----------
    files : ImageFiles
        Each is turned upright as its EXIF data say, and scaled so that its middle square has files.side pixels a side,
        in RGB without transparency. Of JPEG files larger than twice that, the decoder makes a smaller image at once.
    crop, whiten, device
        As for Images.
    workers : int, optional
        Threads that decode; one for each core unless given.
    """

    layout, columns = torch.contiguous_format, None

    def __init__(self, files, *, crop=CROP, whiten=True, device="cpu", workers=None):
        check_crop(crop)
        self.files, self.whiten, self.device = files, whiten, torch.device(device)
        self.workers = workers or os.cpu_count()
        kept = min(files.side, crop or files.side)
        self.size, self.room, self.input_shape = (kept, kept), (files.side - kept,) * 2, (3, kept, kept)

    def __len__(self):
        return len(self.files)

    def batches(self, rows, size, offsets=None):
        """Yield (some of the rows, their inputs) in order, `size` rows at a time, as Images.batches does.

        Raises
        ------
        DataError
            A file cannot be read as an image: names it, when its batch is asked for.
        """
        parts = [part for part in rows.split(size) if len(part)]
        jobs = self._jobs(rows, None if offsets is None else offsets[rows])
        with ThreadPoolExecutor(self.workers, thread_name_prefix="decode") as pool:
            decoding = collections.deque()
            try:
                for k in range(len(parts) + _AHEAD):
                    if k < len(parts):
                        decoding.append([pool.submit(self._read, *job) for job in jobs[k * size : (k + 1) * size]])
                    if k >= _AHEAD:
                        yield parts[k - _AHEAD], self._inputs([image.result() for image in decoding.popleft()])
            finally:
                pool.shutdown(cancel_futures=True)  # the loop may have ended early

    def batch(self, rows, offsets=None):
        """Return the inputs of some rows, float32 (len(rows), 3, height, width), cut at the offsets (len(rows), 2)."""
        return self._inputs([self._read(*job) for job in self._jobs(rows, offsets)])

    def _jobs(self, rows, offsets):
        """Return (row, (top, left)) of each image that is to be read."""
        places = [[spare // 2 for spare in self.room]] * len(rows) if offsets is None else offsets.tolist()
        return list(zip(rows.tolist(), places, strict=True))

    def _inputs(self, images):
        pixels = np.stack(images) if images else np.empty((0, *self.size, 3), np.uint8)
        x = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2)
        x = x.to(torch.float32, memory_format=self.layout).div_(255)
        return whiten(x) if self.whiten else x

    def _read(self, row, place):
        """Return the pixels of one image, uint8 (height, width, 3)."""
        from PIL import Image

        path, side, (top, left), (h, w) = self.files.root / self.files.names[row], self.files.side, place, self.size
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                image.draft("RGB", (2 * side, 2 * side))
                mode, image = image.mode, upright(image).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read as a PNG or JPEG image: {error}") from error
        if mode.startswith(("I", "F")):  # Pillow makes white of all above 255
            raise DataError(f"{path} has mode {mode}; convert it to RGB or grey with 8 bits")
        edge = min(image.size)
        x, y = ((length - edge) / 2 for length in image.size)
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=(x, y, x + edge, y + edge))
        return np.asarray(image)[top : top + h, left : left + w]
