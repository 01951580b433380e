"""The copy of the sources with all mutants planted, and its build, below build/mutate/."""
import glob
import hashlib
import itertools
import json
import os
import pickle
import re
import shlex
import subprocess
import sys

import find
import plant

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, 'build', 'mutate')
SOURCE = os.path.join(WORK, 'source')
BUILD = os.path.join(WORK, 'build')
FLAGS = '-O1 -g1 -w -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'

TARGETS = re.compile(r'^((?:coordinator|hostd|tests/(?:support|unit/.*|fuzz|sim|integration))/all):', re.M)


def say(text):
    print(f'mutate: {text}', file=sys.stderr, flush=True)


def run(argv, what, cwd=None):
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f'mutate: {what} failed\n{done.stdout[-4000:]}')
    return done.stdout


def write(path, data):
    """Only what has changed, so that ninja sees what has."""
    if os.path.exists(path):
        with open(path, 'rb') as f:
            if f.read() == data:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data)


def folders(path):
    """[(folder, [paths of its C files])], in the order of the file."""
    result, seen = [], set()
    with open(path) as f:
        for words in (line.split() for line in f if line.strip() and line[0] != '#'):
            files = sorted({os.path.relpath(p, ROOT) for pattern in words[1:]
                            for p in glob.glob(os.path.join(ROOT, pattern), recursive=True)} - seen)
            seen |= set(files)
            if not files:
                raise SystemExit(f'mutate: {path}: {words[0]} has no files')
            result.append((words[0], files))
    return result


def copy(but):
    """Brings the copy up to date with the working tree, except for the files that are mutated."""
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE).stdout.decode().split('\0')
    files = {p for p in listed if p and os.path.isfile(os.path.join(ROOT, p))}
    for p in files - set(but):
        with open(os.path.join(ROOT, p), 'rb') as f:
            write(os.path.join(SOURCE, p), f.read())
        os.chmod(os.path.join(SOURCE, p), os.stat(os.path.join(ROOT, p)).st_mode & 0o777)
    for folder, _, names in os.walk(SOURCE):
        for name in names:
            p = os.path.relpath(os.path.join(folder, name), SOURCE)
            if p not in files:
                os.remove(os.path.join(SOURCE, p))


def configure():
    runtime = os.path.join(WORK, 'runtime.c')
    write(runtime, plant.RUNTIME.encode())
    run(['gcc', '-O1', '-fPIE', '-c', runtime, '-o', runtime[:-1] + 'o'], 'compiling the runtime')
    run(['cmake', '-G', 'Ninja', '-S', SOURCE, '-B', BUILD, '-DFERMATA_TESTS=ON', '-DFERMATA_WERROR=OFF',
         '-DCMAKE_BUILD_TYPE=None', '-DCMAKE_C_COMPILER=gcc', '-DSANITIZE=address,undefined',
         f'-DCMAKE_C_FLAGS={FLAGS}', f'-DCMAKE_EXE_LINKER_FLAGS={runtime[:-1]}o'], 'cmake')


def commands():
    """The command that compiles each file, by its path."""
    with open(os.path.join(BUILD, 'compile_commands.json')) as f:
        return {os.path.relpath(c['file'], SOURCE): (shlex.split(c['command']), c['directory'])
                for c in json.load(f)}


def arguments(command):
    """What libclang needs of a command."""
    words, kept = command[1:], []
    while words:
        w = words.pop(0)
        if w in ('-isystem', '-I', '-D', '-include'):
            kept += [w, words.pop(0)]
        elif w.startswith(('-I', '-D', '-std')):
            kept.append(w)
    return kept


def errors(text):
    return {int(n) for n in re.findall(r'^[^\s:]+:(\d+):\d+: (?:fatal )?error:', text, re.M)}


def plant_file(path, mutants, command):
    """Writes the file with its mutants; leaves out those that do not compile, and returns the others."""
    with open(os.path.join(ROOT, path), 'rb') as f:
        source = f.read()
    target = os.path.join(SOURCE, path)
    argv, directory = command
    for _ in range(20):
        write(target, plant.planted(source, mutants))
        done = subprocess.run(argv, cwd=directory, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return mutants
        bad = errors(done.stderr)
        kept = [m for m in mutants if not any(m.line <= n <= m.line + m.text_lines for n in bad)]
        if len(kept) == len(mutants):
            raise SystemExit(f'mutate: {path} does not compile\n{done.stderr[-3000:]}')
        say(f'{path}: {len(mutants) - len(kept)} mutants do not compile')
        mutants = kept
    raise SystemExit(f'mutate: {path} does not compile')


def tool_hash():
    digest = hashlib.sha256()
    for module in (find, plant):
        with open(module.__file__, 'rb') as f:
            digest.update(f.read())
    return digest.digest()


class Planted:
    """What was planted in a file, kept until the file or its command changes. Each file has its own range of
    numbers, so that a change in one file leaves the others as they are."""

    RANGE = 2000

    def __init__(self):
        self.path = os.path.join(WORK, 'planted.pickle')
        self.files, self.tool = {}, tool_hash()
        if os.path.exists(self.path):
            with open(self.path, 'rb') as f:
                self.files = pickle.load(f)

    def _first(self, path):
        if path in self.files:
            return self.files[path][0]
        used = {first for first, _, _ in self.files.values()}
        return next(n for n in itertools.count(1, self.RANGE) if n not in used)

    def plant(self, path, command):
        """The mutants of the file, planted."""
        with open(os.path.join(ROOT, path), 'rb') as f:
            key = hashlib.sha256(self.tool + repr(command).encode() + f.read()).hexdigest()
        if self.files.get(path, ('', '', ''))[1] == key:
            return self.files[path][2]
        first = self._first(path)
        self.files[path] = (first, '', [])
        mutants = find.Finder(path, os.path.join(ROOT, path), arguments(command[0])).find()
        for i, m in enumerate(mutants[:self.RANGE]):
            m.number = first + i
        self.files[path] = (first, key, plant_file(path, mutants[:self.RANGE], command))
        return self.files[path][2]

    def save(self, paths):
        self.files = {p: f for p, f in self.files.items() if p in paths}
        with open(self.path, 'wb') as f:
            pickle.dump(self.files, f)


def prepare(folder_list):
    """Plants everything. Returns all mutants, numbered."""
    every = [p for _, files in folder_list for p in files]
    for p in every:  # cmake must see them
        if not os.path.exists(os.path.join(SOURCE, p)):
            with open(os.path.join(ROOT, p), 'rb') as f:
                write(os.path.join(SOURCE, p), f.read())
    copy(every)
    configure()
    run(['ninja', '-C', BUILD, 'proto/all'], 'building the generated code')
    compile_commands, planted, mutants = commands(), Planted(), []
    for folder, files in folder_list:
        for p in files:
            if p not in compile_commands:
                raise SystemExit(f'mutate: {p} belongs to no library')
            of = planted.plant(p, compile_commands[p])
            for m in of:
                m.folder = folder
            mutants += of
        planted.save(every)
    say(f'{len(mutants)} mutants in {len(every)} files')
    return mutants


def build():
    say('building')
    targets = TARGETS.findall(run(['ninja', '-C', BUILD, '-t', 'targets', 'all'], 'listing what to build'))
    run(['ninja', '-C', BUILD] + targets, 'building')
