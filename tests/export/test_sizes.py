import gzip
import hashlib
import math

import numpy as np

from tost_tf.export.sizes import bytes_of, gzip_bytes_of, information_bound, sha256_of


def test_bytes_of_files_and_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c").write_bytes(b"yz")
    assert bytes_of(tmp_path / "a") == 1000 and bytes_of(tmp_path) == 1002
    assert gzip_bytes_of(tmp_path / "a") == len(gzip.compress(b"x" * 1000)) < 100
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"x" * 1000).hexdigest()
    before = sha256_of(tmp_path)
    (tmp_path / "b/c").rename(tmp_path / "b/d")
    assert sha256_of(tmp_path) != before


def test_information_bound_by_hand():
    # 4 of 10 weights in one of 210 ways, all of 3, none of 5; 7 weights beside them.
    kernels = {"a": np.array([1.0] * 4 + [0.0] * 6), "b": np.ones(3), "c": np.zeros(5)}
    assert information_bound(kernels, 7) == math.ceil((32 * (4 + 3 + 7) + math.log2(210)) / 8)
