"""Minimal ONNX files for tests, put together byte by byte, so that no package is needed to make them.

Source: the message definitions of the ONNX project (onnx.proto3) and the encoding of protocol buffers: a field is
its number and wire type, then a varint (type 0) or a length and as many bytes (type 2).
"""

from __future__ import annotations

FLOAT, INT64 = 1, 7
Shape = tuple[int | str, ...]


def turn_model(
    inputs: tuple[tuple[str, Shape], ...] = (("input_features", ("n", 80, 800)),), *, sigmoid: bool = True
) -> bytes:
    """A model that looks at the last frame alone: the mean of its features, through a sigmoid unless without
    (then it gives what Smart Turn's output is called, logits). Further inputs are not used."""
    mean = "mean" if sigmoid else "logits"
    nodes = [
        _node("Gather", (inputs[0][0], "last"), "frame", _attribute("axis", 2)),
        _node("ReduceMean", ("frame",), mean, _ints("axes", (1,)), _attribute("keepdims", 1)),
    ]
    if sigmoid:
        nodes.append(_node("Sigmoid", ("mean",), "logits"))
    last = _field(2, INT64) + _field(7, -1) + _field(8, b"last")
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"turn") + _field(5, last)
    graph += b"".join(_field(11, _value(name, shape)) for name, shape in inputs)
    graph += _field(12, _value("logits", ("n", 1)))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 17))


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _node(op: str, inputs: tuple[str, ...], output: str, *attributes: bytes) -> bytes:
    named = b"".join(_field(1, name.encode()) for name in inputs) + _field(2, output.encode())
    return named + _field(4, op.encode()) + b"".join(_field(5, attribute) for attribute in attributes)


def _attribute(name: str, value: int) -> bytes:
    return _field(1, name.encode()) + _field(3, value) + _field(20, 2)


def _ints(name: str, values: tuple[int, ...]) -> bytes:
    return _field(1, name.encode()) + b"".join(_field(8, value) for value in values) + _field(20, 7)


def _value(name: str, shape: Shape) -> bytes:
    dims = b"".join(
        _field(1, _field(1, size) if isinstance(size, int) else _field(2, size.encode())) for size in shape
    )
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, FLOAT) + _field(2, dims)))
