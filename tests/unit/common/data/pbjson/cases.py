"""Random messages, and what Google's own JSON mapping makes of them: a line a message,
its type, its bytes in hexadecimal digits and its JSON.

  cases.py SEED MESSAGES PROTOSET…    the types are all those of the packages zoo and fermata.v1
"""
import random
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor as F

rng = random.Random(int(sys.argv[1]))
pool = descriptor_pool.DescriptorPool()
names = []
for path in sys.argv[3:]:
    files = descriptor_pb2.FileDescriptorSet.FromString(open(path, "rb").read())
    for file in files.file:
        pool.Add(file)
        if file.package in ("zoo", "fermata.v1"):
            names += [f"{file.package}.{m.name}" for m in file.message_type]
factory = message_factory.MessageFactory(pool)

WHOLE = {
    F.TYPE_INT32: (-(2**31), 2**31 - 1), F.TYPE_SINT32: (-(2**31), 2**31 - 1), F.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    F.TYPE_INT64: (-(2**63), 2**63 - 1), F.TYPE_SINT64: (-(2**63), 2**63 - 1), F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    F.TYPE_UINT32: (0, 2**32 - 1), F.TYPE_FIXED32: (0, 2**32 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1), F.TYPE_FIXED64: (0, 2**64 - 1),
}
TEXTS = ["", "a", "räven", "日本語", "\"\\/\b\f\n\r\t", "\u2028\u2029<>&", "😀", "\u0001\u001f\u007f", "x" * 300]


def double():
    return rng.choice([0.0, -0.0, 1.5, -2.25, 1e15, 1e16, 123456789012345680.0, 1e300, 5e-324, 0.1,
                       rng.uniform(-1e6, 1e6), struct.unpack("<d", struct.pack("<q", rng.randrange(2**62)))[0]])


def single():
    return struct.unpack("<f", struct.pack("<f", rng.choice([0.0, 0.1, 3.4e38, -1.5, 1e-45, rng.uniform(-1e3, 1e3)])))[0]


def scalar(f):
    if f.type in WHOLE:
        low, high = WHOLE[f.type]
        return rng.choice([low, high, 0, 1, rng.randint(low, high), rng.randint(max(low, -100), 100)])
    if f.type == F.TYPE_DOUBLE:
        return rng.choice([double(), float("inf"), float("-inf")])
    if f.type == F.TYPE_FLOAT:
        return rng.choice([single(), float("inf")])
    if f.type == F.TYPE_BOOL:
        return rng.random() < 0.5
    if f.type == F.TYPE_STRING:
        return rng.choice(TEXTS)
    if f.type == F.TYPE_BYTES:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(12)))
    return rng.choice([v.number for v in f.enum_type.values] + ([] if "NullValue" in f.enum_type.full_name else [77]))


def value(v, depth):
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind == 0:
        v.null_value = 0
    elif kind == 1:
        v.number_value = double()
    elif kind == 2:
        v.string_value = rng.choice(TEXTS)
    elif kind == 3:
        v.bool_value = rng.random() < 0.5
    elif kind == 4:
        v.struct_value.SetInParent()
        for _ in range(rng.randrange(3)):
            value(v.struct_value.fields[rng.choice(TEXTS)], depth + 1)
    else:
        v.list_value.SetInParent()
        for _ in range(rng.randrange(3)):
            value(v.list_value.values.add(), depth + 1)


def fill(m, depth):
    name = m.DESCRIPTOR.full_name
    m.SetInParent() if hasattr(m, "SetInParent") else None
    if name == "google.protobuf.Timestamp":
        m.seconds, m.nanos = rng.choice([(0, 0), (-62135596800, 0), (253402300799, 999999999), (-1, 500000000),
                                         (rng.randint(-10**10, 10**10), rng.choice([0, 5000000, 5000, 5]))])
    elif name == "google.protobuf.Duration":
        m.seconds, m.nanos = rng.choice([(0, 0), (1, 500000000), (-1, -5000), (0, -7), (315576000000, 0)])
    elif name == "google.protobuf.FieldMask":
        m.paths.extend(rng.sample(["a", "a_b", "long_path.with_dots", "x"], rng.randrange(4)))
    elif name == "google.protobuf.Value":
        value(m, depth)
    elif name == "google.protobuf.Struct":
        for _ in range(rng.randrange(3)):
            value(m.fields[rng.choice(TEXTS)], depth)
    elif name == "google.protobuf.ListValue":
        for _ in range(rng.randrange(3)):
            value(m.values.add(), depth)
    elif name == "google.protobuf.Any":
        if "zoo.Animal" in names and rng.random() < 0.8:
            inner = rng.choice(["zoo.Animal", "google.protobuf.Timestamp", "google.protobuf.Int64Value"])
            inner = factory.GetPrototype(pool.FindMessageTypeByName(inner))()
            fill(inner, depth + 2)
            m.Pack(inner)
    else:
        fields(m, depth)


def fields(m, depth):
    often = 0.5 if depth == 0 else 0.15 if depth < 3 else 0.03
    for f in m.DESCRIPTOR.fields:
        if rng.random() > often:
            continue
        message = f.type == F.TYPE_MESSAGE
        if message and f.message_type.GetOptions().map_entry:
            key, val = f.message_type.fields_by_name["key"], f.message_type.fields_by_name["value"]
            for _ in range(rng.randrange(4)):
                if val.type == F.TYPE_MESSAGE:
                    fill(getattr(m, f.name)[scalar(key)], depth + 1)
                else:
                    getattr(m, f.name)[scalar(key)] = scalar(val)
        elif f.label == F.LABEL_REPEATED:
            for _ in range(rng.randrange(4)):
                if message:
                    fill(getattr(m, f.name).add(), depth + 1)
                else:
                    getattr(m, f.name).append(scalar(f))
        elif message:
            if depth < 5:
                fill(getattr(m, f.name), depth + 1)
        else:
            setattr(m, f.name, scalar(f))


made = 0
while made < int(sys.argv[2]):
    name = rng.choice(names + [n for n in names if n == "zoo.Animal"] * len(names))
    m = factory.GetPrototype(pool.FindMessageTypeByName(name))()
    fill(m, 0)
    try:
        text = json_format.MessageToJson(m, indent=None, descriptor_pool=pool, ensure_ascii=False)
        json_format.Parse(text, type(m)(), descriptor_pool=pool)
    except (json_format.Error, ValueError, OverflowError):
        continue
    print(name, m.SerializeToString().hex() or "-", text)
    made += 1
