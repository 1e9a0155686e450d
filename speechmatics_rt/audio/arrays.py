"""Says how to make audio of arrays, tensors and numbers. Pure; knows them by their attributes alone."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Optional

__all__ = ["about_array", "about_dict", "about_number", "about_pair"]

_16_BITS = 'with audio_format=AudioFormat("pcm_s16le", {rate})'
_FLOATS = 'with audio_format=AudioFormat("pcm_f32le", {rate}), if its numbers are between -1 and 1'
_IF_16 = ", if its samples have 16 bits"

# What to give of numbers x, by the kind and the size of each as NumPy writes them (f4 is float32), with the
# byte order of what may stay as it is; or by the typecode of an array.array.
_WAYS = {
    "<i2": f"give {{x}}.tobytes(), {_16_BITS}",
    "<f4": f"give {{x}}.tobytes(), {_FLOATS}",
    "i2": f"give {{x}}.astype('<i2').tobytes(), {_16_BITS}",
    **dict.fromkeys(("f2", "f4", "f8"), f"give {{x}}.astype('<f4').tobytes(), {_FLOATS}"),
    "i1": f"give ({{x}}.astype('<i2') << 8).tobytes(), {_16_BITS}",
    "u1": f"give (({{x}}.astype('<i2') - 128) << 8).tobytes(), {_16_BITS}, if it is unsigned PCM, as of a "
    'WAV; of mu-law {x}.tobytes(), with AudioFormat("mulaw", {rate})',
    "u2": f"give ({{x}}.astype('<i4') - 32768).astype('<i2').tobytes(), {_16_BITS}",
    "i4": f"give ({{x}} >> 16).astype('<i2').tobytes(), {_16_BITS}, if its samples have 32 bits",
    "i8": f"give {{x}}.astype('<i2').tobytes(), {_16_BITS}{_IF_16}",
    "h": f"give {{x}}.tobytes(), {_16_BITS}",
    "f": f"give {{x}}.tobytes(), {_FLOATS}",
    "d": f"give array.array('f', {{x}}).tobytes(), {_FLOATS}",
    **dict.fromkeys("ilq", f"give array.array('h', {{x}}).tobytes(), {_16_BITS}{_IF_16}"),
    **dict.fromkeys("bB", "give {x}.tobytes(), which are its bytes"),
}
_OTHERWISE = "make its numbers int16, or float32 between -1 and 1"
_NAMES = {  # that others have for these
    "float16": "f2",
    "float32": "<f4",
    "float64": "f8",
    "int8": "i1",
    "int16": "<i2",
    "int32": "i4",
    "int64": "i8",
    "uint8": "u1",
    "uint16": "u2",
}
# What makes a NumPy array of it, by a method that only such a thing has.
_TO_NUMPY = {
    "tobytes": "",
    "to_numpy": ".to_numpy()",  # a column of pandas or Polars
    "detach": ".detach().cpu().numpy()",  # a tensor of PyTorch
    "numpy": ".numpy()",
}
_ARRAYS = ("array", "raw", "waveform", "audio")  # keys, in data sets and pipelines
_RATES = ("sampling_rate", "sample_rate")


def about_array(array: Any) -> Optional[str]:
    """Say how to convert an array of numbers; None if it isn't one."""
    way = _way(array, "x", "sample_rate")
    return way and f"the audio is an array ({type(array).__name__} of {_kind_of(array)!r}); {way}"


def about_pair(pair: Any) -> Optional[str]:
    """Say what to give of a sample rate and an array, in either order, as functions that load audio give."""
    for place, (array, rate) in enumerate([tuple(pair), tuple(pair)[::-1]] if len(pair) == 2 else ()):
        way = _way(array, f"source[{place}]", f"{float(rate):.0f}") if _is_number(rate) else None
        if way is not None:
            return f"the audio source is a pair of an array and its sample rate; {way}"
    return None


def about_dict(audio: Mapping[Any, Any]) -> Optional[str]:
    """Say what to give of a dict with an array in it, as data sets and pipelines have them."""
    rate = next((f"{float(audio[key]):.0f}" for key in _RATES if _is_number(audio.get(key))), "sample_rate")
    ways = (_way(audio[key], f"source[{key!r}]", rate) for key in _ARRAYS if key in audio)
    return next((f"the audio source is a dict with an array in it; {way}" for way in ways if way), None)


def about_number(number: Any) -> Optional[str]:
    """Say what to give instead of numbers, one by one; None if it isn't one."""
    if not _is_number(number):
        return None
    code = "h" if isinstance(number, Integral) else "f"
    way = _WAYS[code].format(x=f"array.array({code!r}, x)", rate="sample_rate")
    return f"the audio is {type(number).__name__}, not bytes; of samples x {way}"


def _way(array: Any, name: str, rate: str) -> Optional[str]:
    """Say what to give of an array that is called so and has that sample rate; None if it isn't one."""
    kind = _kind_of(array)
    to_numpy = next((way for method, way in _TO_NUMPY.items() if hasattr(array, method)), None)
    if kind is None or to_numpy is None:
        return None
    way = _WAYS.get(kind) or _WAYS.get(kind.lstrip("<=>|"), _OTHERWISE)
    index = _index_of_channel(array)
    return ("take one channel of it: " if index else "") + way.format(x=name + index + to_numpy, rate=rate)


def _kind_of(array: Any) -> Optional[str]:
    """Return the kind of its numbers, as a key of the table above or like one; None if it is no array."""
    dtype = getattr(array, "dtype", None)
    kind = getattr(array, "typecode", None) if dtype is None else getattr(dtype, "str", None)
    if dtype is not None and not isinstance(kind, str):
        name = str(getattr(dtype, "name", None) or dtype).rpartition(".")[2].lower()
        kind = _NAMES.get(name, name)
    return kind if isinstance(kind, str) and (dtype is None or _shape_of(array)) else None


def _shape_of(array: Any) -> tuple[int, ...]:
    """Return the shape of an array; empty of a single number."""
    shape = getattr(array, "shape", ())
    return tuple(shape) if isinstance(shape, tuple) else ()


def _index_of_channel(array: Any) -> str:
    """Return the index of one channel: samples are many, channels and recordings few."""
    shape = _shape_of(array)
    if len(shape) < 2:
        return ""
    samples = shape.index(max(shape))
    places = [":" if axis == samples else "0" for axis in range(len(shape))]
    if places[-1] == ":":
        places.pop()
    return f"[{', '.join(places)}]"


def _is_number(thing: Any) -> bool:
    if isinstance(thing, Real):
        return True
    return hasattr(thing, "dtype") and hasattr(thing, "__index__") and not _shape_of(thing)
