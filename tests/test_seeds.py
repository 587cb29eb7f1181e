from tost_tf.seeds import derive_seed


def test_seeds_are_those_of_crc32():
    assert derive_seed(3, "order") == 188652117  # zlib.crc32(b"order:3")
    assert derive_seed(0, "mask") == 2676106940 - 2**31  # zlib.crc32(b"mask:0") without its highest bit
    assert derive_seed(3, "order") != derive_seed(4, "order")
