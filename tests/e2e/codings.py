"""Bodies in each content coding, made by the libraries themselves."""
import ctypes
import ctypes.util
import gzip
import zlib


def library(name):
    return ctypes.CDLL(ctypes.util.find_library(name))


def by_br(data, quality=5, window=22):
    room = len(data) + 10000
    out, size = ctypes.create_string_buffer(room), ctypes.c_size_t(room)
    assert library("brotlienc").BrotliEncoderCompress(quality, window, 0, ctypes.c_size_t(len(data)), data,
                                                      ctypes.byref(size), out)
    return out.raw[:size.value]


def by_zstd(data, level=3):
    """With a checksum at its end."""
    zstd = library("zstd")
    for name, result in (("ZSTD_createCCtx", ctypes.c_void_p), ("ZSTD_compress2", ctypes.c_size_t)):
        getattr(zstd, name).restype = result
    room = len(data) + 10000
    out, context = ctypes.create_string_buffer(room), ctypes.c_void_p(zstd.ZSTD_createCCtx())
    for parameter, value in ((100, level), (201, 1)):  # ZSTD_c_compressionLevel, ZSTD_c_checksumFlag
        zstd.ZSTD_CCtx_setParameter(context, parameter, value)
    size = zstd.ZSTD_compress2(context, out, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)))
    zstd.ZSTD_freeCCtx(context)
    return out.raw[:size]


def by_raw(data):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


CODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": by_raw, "br": by_br, "zstd": by_zstd}


def coded(names, data):
    """"gzip+br": by gzip first. "raw" is deflate without its header."""
    for name in names.split("+"):
        data = CODERS[name](data)
    return data


def field_of(names):
    """The same as Content-Encoding has it."""
    return ", ".join({"raw": "deflate"}.get(name, name) for name in names.split("+"))
