"""A reader's view of OTLP's trace request: the same wire format under a schema of its own.

On the wire a map is a list of key-value messages, and OTLP's attributes are such a list. Read as maps they are looked
up in C, one by one, instead of being unwrapped in Python, all of them; and what no field here names is not unwrapped
at all. Of a key that came twice the last value counts, but *receive* lets none come twice.

==============  =====================================================================================================
message         fields (OpenTelemetry's numbers)
==============  =====================================================================================================
``Request``     resource_spans = 1
``Resources``   resource = 1 (attributes = 1), scope_spans = 2 (spans = 2)
``Span``        trace_id = 1, span_id = 2, parent_span_id = 4, start_time_unix_nano = 7, end_time_unix_nano = 8,
                attributes = 9, status = 15 (message = 2, code = 3)
``Value``       string_value = 1, bool_value = 2, int_value = 3, double_value = 4, of which one is set
==============  =====================================================================================================
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE: Final = "fusebox.view"
_F: Final = FieldDescriptorProto


def _message(file: FileDescriptorProto, name: str, **fields: tuple[int, int | str]) -> DescriptorProto:
    """Add a message; a field is its number and a scalar type, or ``"Message"``, or ``"Message*"`` for many."""
    message: DescriptorProto = file.message_type.add(name=name)
    for field, (number, kind) in fields.items():
        added = message.field.add(name=field, number=number, label=_F.LABEL_OPTIONAL)
        if isinstance(kind, int):
            added.type = kind
        else:
            added.type, added.type_name = _F.TYPE_MESSAGE, f".{_PACKAGE}.{kind.rstrip('*')}"
            added.label = _F.LABEL_REPEATED if kind.endswith("*") else _F.LABEL_OPTIONAL
    return message


def _attributes(message: DescriptorProto, number: int) -> None:
    """Add a field ``map<string, Value> attributes``."""
    entry = message.nested_type.add(name="AttributesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_F.LABEL_OPTIONAL, type=_F.TYPE_STRING)
    value = entry.field.add(name="value", number=2, label=_F.LABEL_OPTIONAL, type=_F.TYPE_MESSAGE)
    value.type_name = f".{_PACKAGE}.Value"
    field = message.field.add(name="attributes", number=number, label=_F.LABEL_REPEATED, type=_F.TYPE_MESSAGE)
    field.type_name = f".{_PACKAGE}.{message.name}.AttributesEntry"


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="fusebox/view.proto", package=_PACKAGE, syntax="proto3")
    value = _message(
        file, "Value", string_value=(1, _F.TYPE_STRING), bool_value=(2, _F.TYPE_BOOL), int_value=(3, _F.TYPE_INT64),
        double_value=(4, _F.TYPE_DOUBLE),
    )  # fmt: skip
    value.oneof_decl.add(name="value")
    for field in value.field:
        field.oneof_index = 0
    _message(file, "Status", message=(2, _F.TYPE_STRING), code=(3, _F.TYPE_INT32))
    span = _message(
        file, "Span", trace_id=(1, _F.TYPE_BYTES), span_id=(2, _F.TYPE_BYTES), parent_span_id=(4, _F.TYPE_BYTES),
        start_time_unix_nano=(7, _F.TYPE_FIXED64), end_time_unix_nano=(8, _F.TYPE_FIXED64), status=(15, "Status"),
    )  # fmt: skip
    _attributes(span, 9)
    _attributes(_message(file, "Resource"), 1)
    _message(file, "Spans", spans=(2, "Span*"))
    _message(file, "Resources", resource=(1, "Resource"), scope_spans=(2, "Spans*"))
    _message(file, "Request", resource_spans=(1, "Resources*"))
    return file


def _class() -> Any:
    pool = DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Request"))


Request: Final = _class()
"""The message class of a request; Protobuf makes it when the program starts, so nothing is known of it before."""
