"""Images with captions, ready to train on: prepared once, kept in memory where they fit, in an order that any step of
any run can name."""

from functools import lru_cache
from itertools import count

import numpy as np
import psutil
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from models.text_to_glyph import encode_text, mean_over_tokens
from sheet import on_paper


def load_rows(args):
    """The rows to train on, as a datasets.Dataset that has the image and the caption column.

    Raises ValueError that says what is missing.
    """
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()  # they count files, not images, and ours follow
    if args.dataset_name:
        rows = load_dataset(args.dataset_name, split="train")
    else:
        rows = load_dataset("imagefolder", data_dir=args.train_data_dir, split="train")
    for column in (args.image_column, args.caption_column):
        if column not in rows.column_names:
            raise ValueError(
                f"{args.train_data_dir or args.dataset_name} has no column {column!r}, only {rows.column_names}"
            )
    return rows.select(range(min(len(rows), args.max_train_samples or len(rows))))


def row_captions(rows, column):
    """The captions of each row, a list of texts a row. Raises ValueError for a row that has none."""
    captions = [[text] if isinstance(text, str) else list(text or ()) for text in rows[column]]
    for number, texts in enumerate(captions):
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ValueError(f"row {number} has an empty caption in column {column!r}: {texts!r}")
    return captions


def prepare(image, resolution, channels):
    """A PIL image of any size and mode -> uint8 tensor (channels, resolution, resolution).

    The image is fitted into the square on white: nothing is cut, transparent parts are paper and not black.
    """
    image = on_paper(image, "L" if channels == 1 else "RGB")
    # an area average when shrinking: sharper filters ring around strokes, and the ringing is cut off to grey fringes
    shrinks = max(image.size) >= resolution
    method = Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS
    image = ImageOps.pad(image, (resolution, resolution), method, color="white")
    return torch.from_numpy(np.array(image)).reshape(resolution, resolution, channels).permute(2, 0, 1).contiguous()


class CaptionedImages(Dataset):
    """uint8 tensors (channels, resolution, resolution) by row number, from memory where they fit in half of what is
    free, else from the disk at each turn."""

    def __init__(self, rows, column, resolution, channels, processes=1, quiet=False):
        self.images, self.resolution, self.channels = rows.select_columns([column]), resolution, channels
        self.column, self.memory = column, None
        size = len(rows) * channels * resolution**2
        if size * processes < psutil.virtual_memory().available / 2:
            memory = torch.empty(len(rows), channels, resolution, resolution, dtype=torch.uint8)
            for number in tqdm(range(len(rows)), desc="images", unit="image", disable=quiet):
                memory[number] = self[number]
            self.memory = memory

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        if self.memory is not None:
            return self.memory[number]
        return prepare(self.images[number][self.column], self.resolution, self.channels)

    def batches(self, batch_size, seed, rank, world, first, workers):
        """Endless (row numbers (batch,), pixels (batch, channels, resolution, resolution) of -1 to 1), from batch
        number `first` on, for process `rank` of `world`."""
        order = row_order(len(self), batch_size, seed, rank, world, first)
        if self.memory is not None:
            for numbers in order:
                yield torch.tensor(numbers), self.memory[numbers].float() / 127.5 - 1
        else:
            loader = DataLoader(range(len(self)), batch_sampler=order, num_workers=workers, collate_fn=self._collate)
            yield from loader

    def _collate(self, numbers):
        return torch.tensor(numbers), torch.stack([self[number] for number in numbers]).float() / 127.5 - 1


def row_order(rows, batch_size, seed, rank, world, first=0):
    """Endless lists of `batch_size` row numbers from batch `first` on.

    Every epoch is a new permutation of all rows, epochs follow each other without a gap, and the processes of one step
    take neighbouring pieces: the union of their batches is what one process with a batch `world` times as large sees.
    """

    @lru_cache(maxsize=2)
    def permutation(epoch):
        return np.random.default_rng([seed, epoch]).permutation(rows)

    for batch in count(first):
        start = (batch * world + rank) * batch_size
        positions = (divmod(position, rows) for position in range(start, start + batch_size))
        yield [int(permutation(epoch)[place]) for epoch, place in positions]


def batch_seed(seed, batch, rank):
    """The seed of all that is random in batch number `batch` on process `rank`: 64 bits."""
    return int(np.random.SeedSequence([seed, batch, rank]).generate_state(1, np.uint64)[0])


class Captions:
    """The captions of all rows, every different one encoded once, and the empty one as number 0.

    `table` (rows, most captions of a row) holds caption numbers and `counts` (rows,) how many a row has; `pooled`
    (captions, dim) are sentence vectors, standardised by `text_pooling`, which is fitted to them first. With
    `keep_tokens` also `states` (captions, tokens, dim), in float16, and their `mask` (captions, tokens), else None.
    All lie on the text encoder's device.
    """

    def __init__(self, captions, text_encoder, tokenizer, text_pooling, keep_tokens, quiet=False, batch_size=64):
        # the empty one first, the others by length: a batch is as slow as its longest caption
        texts = ["", *sorted({text for row in captions for text in row}, key=lambda text: (len(text), text))]
        raw, states, masks = [], [], []
        bar = tqdm(total=len(texts), desc="captions", unit="caption", disable=quiet)
        for start in range(0, len(texts), batch_size):
            hidden, mask = encode_text(text_encoder, tokenizer, texts[start : start + batch_size])
            bar.update(len(mask))
            raw.append(mean_over_tokens(hidden, mask))
            if keep_tokens:  # batches are padded to lengths of their own
                states += [row[keep.bool()].half() for row, keep in zip(hidden, mask, strict=True)]
                masks += [keep[keep.bool()] for keep in mask]
        bar.close()
        raw = torch.cat(raw)
        text_pooling.fit(raw[1:])
        self.pooled = text_pooling.standardise(raw)
        pad = torch.nn.utils.rnn.pad_sequence
        self.states, self.mask = (pad(x, batch_first=True) if keep_tokens else None for x in (states, masks))
        numbers = {text: number for number, text in enumerate(texts)}
        rows = [torch.tensor([numbers[text] for text in row]) for row in captions]
        self.table = pad(rows, batch_first=True).to(raw.device)
        self.counts = torch.tensor([len(row) for row in captions], device=raw.device)

    def __len__(self):
        return len(self.pooled) - 1

    def pick(self, rows, generator, proportion_empty_prompts, noise):
        """For row numbers (batch,) one caption each, the empty one for the given share: what the unet is told.

        noise: standard deviation of what is added to the sentence vectors, in units of their own spread.
        Returns pooled (batch, dim), and states and mask, or None twice.
        """
        rows = rows.to(self.counts.device)
        choice, keep = torch.rand(2, len(rows), device=rows.device, generator=generator)
        picked = self.table[rows, (choice * self.counts[rows]).long()] * (keep >= proportion_empty_prompts)
        pooled = self.pooled[picked]
        if noise:
            pooled = pooled + noise * torch.randn(pooled.shape, device=rows.device, generator=generator)
        if self.states is None:
            return pooled, None, None
        return pooled, self.states[picked].float(), self.mask[picked]
