#!/usr/bin/python3
"""Compares what a hostd lets plugins see with what the headers of the routine API declare.

  abi.py HOSTD HEADER…   every function of the headers is exported by HOSTD, and nothing else is
  abi.py --self-test     that both kinds of differences are found"""
import re
import subprocess
import sys


IN_PLACE_OF_LIBC = {"recvmsg"}  # for gRPC, which must see it: common/rpc/rpc_guard.c


def declared(text):
    """The names of the functions that a header declares."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^\s*#(?:.*\\\n)*.*$", "", text, flags=re.M)
    text = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", " ", text, flags=re.S)
    while re.search(r"\{[^{}]*\}", text):
        text = re.sub(r"\{[^{}]*\}", " ", text)
    names = set()
    for statement in text.split(";"):
        m = re.match(r"(?!typedef\b)[\w\s*]*?\b(\w+)\s*\(", statement.strip())
        if m:
            names.add(m.group(1))
    return names


def exported(nm_output):
    """The names that a program defines and shows; those of libraries that it holds copies of have a version."""
    names = set()
    for line in nm_output.splitlines():
        kind, name = line.split()[-2:]
        if kind in "TDBRVW" and "@" not in name and name not in IN_PLACE_OF_LIBC:
            names.add(name)
    return names


def differences(have, want):
    return ["%s is declared, but plugins cannot see it" % n for n in sorted(want - have)] + [
        "%s is no part of the routine API, but plugins can see it" % n for n in sorted(have - want)]


def self_test():
    header = """/* int fm_comment(void); */
#define FM_MACRO(x) fm_macro(x)
struct fm_s { int (*fm_member)(void); };
typedef int (*fm_type)(struct fm_s *s);
enum fm_e { FM_A };
const struct fm_s *fm_one(struct fm_s *s, int (*callback)(void));
__attribute__((format(printf, 1, 2)))
void fm_two(
    const char *s, ...);
"""
    nm = """0000000000001000 T fm_one
0000000000002000 T fm_private
                 U printf@GLIBC_2.2.5
0000000000003000 B stdout@GLIBC_2.2.5
"""
    assert declared(header) == {"fm_one", "fm_two"}, declared(header)
    assert exported(nm) == {"fm_one", "fm_private"}, exported(nm)
    found = differences(exported(nm), declared(header))
    assert len(found) == 2 and found[0].startswith("fm_two ") and found[1].startswith("fm_private "), found


def main(args):
    self_test()
    if args == ["--self-test"]:
        return 0
    want = set()
    for header in args[1:]:
        with open(header, encoding="utf-8") as f:
            want |= declared(f.read())
    nm = subprocess.run(["nm", "-D", "--defined-only", args[0]], check=True, capture_output=True, text=True).stdout
    found = differences(exported(nm), want)
    for line in found:
        print(line)
    if len(want) < 50:
        print("only %d functions were found in the headers" % len(want))
    return 1 if found or len(want) < 50 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
