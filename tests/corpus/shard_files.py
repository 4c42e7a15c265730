"""The same documents in every format and compression."""

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq

DOCUMENTS = ["24 times 18 is 432", "", "New York, new york: 24", "Ünï 18", "no number"] * 3


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def as_text(documents):
    return "".join(f"{document}\n" for document in documents).encode()


def as_jsonl(documents, field="text"):
    return "".join(json.dumps({"id": i, field: document}) + "\n" for i, document in enumerate(documents)).encode()


def as_parquet(documents, column="text", rows_in_group=4, type=None):
    sink = pa.BufferOutputStream()
    values = pa.array(documents, type=type or pa.string())
    table = pa.table({"id": pa.array(range(len(documents)), pa.int64()), column: values})
    pq.write_table(table, sink, row_group_size=rows_in_group)
    return sink.getvalue().to_pybytes()
