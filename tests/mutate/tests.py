"""The tests that mutants are tried with: one process each, with a directory of its own as /tmp, and nothing of it
left afterwards. A test is a unit test program, the simulation, or one case of a slow program."""
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from build import BUILD, ROOT, WORK, say

RANKS = {'unit': 0, 'fuzz': 0, 'sim': 1, 'integration': 2}
SLOW_SECONDS = 1.0  # a program that takes longer is run case by case
PRIVATE_TMP = ['sh', '-c', 'mount --bind "$1" /tmp && shift && exec "$@"', 'sh']


class Test:
    def __init__(self, name, label, argv, env, cwd, case=''):
        self.name, self.label, self.argv, self.env, self.cwd, self.case = name, label, argv, env, cwd, case
        self.seconds = 0.0
        self.hits = set()  # the mutants that could make a difference in it
        self.spread = 0

    @property
    def title(self):
        return f'{self.name} {self.case}'.strip()

    def cost(self):
        """What is tried first: the quick kinds; among them the quick ones, and those that see few mutants."""
        return RANKS[self.label], self.seconds * (1 + len(self.hits))


def isolation():
    """How a command gets processes and a /tmp of its own, as far as this machine allows."""
    if ROOT.startswith('/tmp/'):
        return None
    base = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    for argv in (base, base[:1] + ['--map-root-user'] + base[1:]):
        if subprocess.run(argv + ['true'], stderr=subprocess.DEVNULL).returncode == 0:
            return argv
    return None


ISOLATION = isolation()


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))


def execute(test, mutant, timeout, hits=None):
    """Runs it with this mutant (0: none). Returns (how it ended, its output): 'ok', 'failed' or 'hangs'."""
    os.makedirs(os.path.join(WORK, 'tmp'), exist_ok=True)
    tmp = tempfile.mkdtemp(dir=os.path.join(WORK, 'tmp'))
    env = dict(os.environ, **test.env, FM_MUTANT=str(mutant))
    env['ASAN_OPTIONS'] = env.get('ASAN_OPTIONS', 'exitcode=67') + ':hard_rss_limit_mb=4000'
    env['PATH'] = os.path.join(ROOT, 'build', 'tools') + ':' + env['PATH']
    if test.case:
        env['FERMATA_TEST_CASE'] = test.case
    if hits:
        env['FM_MUTANT_HITS'] = hits
    argv = test.argv
    if ISOLATION:
        argv = ISOLATION + PRIVATE_TMP + [tmp] + argv
    with tempfile.TemporaryFile(dir=os.path.join(WORK, 'tmp')) as out:
        p = subprocess.Popen(argv, cwd=test.cwd, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                             start_new_session=True, preexec_fn=limits)
        try:
            end = 'ok' if p.wait(timeout) == 0 else 'failed'
        except subprocess.TimeoutExpired:
            end = 'hangs'
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        p.wait()
        size = out.tell()
        out.seek(max(0, size - 20000))
        text = out.read().decode('utf-8', 'replace')
    shutil.rmtree(tmp, ignore_errors=True)
    return end, text


def limit_seconds(test):
    return test.seconds * 4 + (40 if test.label == 'integration' else 10)


def programs(labels, seeds):
    """The test programs that ctest knows, and the simulation."""
    listed = json.loads(subprocess.run(['ctest', '--show-only=json-v1'], cwd=BUILD, check=True,
                                       stdout=subprocess.PIPE).stdout)
    result = []
    for t in listed['tests']:
        properties = {p['name']: p['value'] for p in t['properties']}
        label = properties.get('LABELS', [''])[0]
        if label in RANKS and label in labels and label != 'sim':
            env = dict(e.split('=', 1) for e in properties.get('ENVIRONMENT', []))
            result.append(Test(t['name'], label, t['command'], env, properties['WORKING_DIRECTORY']))
    if 'sim' in labels:
        argv = [os.path.join(BUILD, 'tests/sim/sim_run'), '--seed', '1', '--runs', str(seeds)]
        result.append(Test(f'sim/{seeds}', 'sim', argv, {'ASAN_OPTIONS': 'exitcode=67'}, BUILD))
    return result


DAEMONS = ('coordinator/coordinator', 'hostd/hostd', 'tests/support/probe_hostd')


def fingerprint(test, known):
    """Of all that decides what the test does: its result is kept until this changes."""
    digest = hashlib.sha256(repr(test.argv + [test.case]).encode())
    files = [test.argv[0]] + ([os.path.join(BUILD, d) for d in DAEMONS] if test.label == 'integration' else [])
    for path in files:
        if path not in known:
            with open(path, 'rb') as f:
                known[path] = hashlib.sha256(f.read()).hexdigest()
        digest.update(known[path].encode())
    return digest.hexdigest()


def measure(test, n_mutants):
    """Runs it without a mutant, and notes how long it takes and which mutants could matter to it."""
    for _ in range(3):
        with tempfile.NamedTemporaryFile(dir=WORK) as f:
            f.truncate(n_mutants + 1)
            start = time.monotonic()
            end, text = execute(test, 0, 600, f.name)
            test.seconds = time.monotonic() - start
            f.seek(0)
            test.hits = {i for i, b in enumerate(f.read()) if b}
        if end == 'ok':
            return text
    say(f'{test.title} {end} without a mutant, and is left out:\n{text[-1500:]}')
    return None


class Suite:
    """All tests, measured; what was measured is kept in a file."""

    def __init__(self, labels, seeds, n_mutants):
        self.n = n_mutants
        self.file = os.path.join(WORK, 'measured.json')
        self.kept = {}
        if os.path.exists(self.file):
            with open(self.file) as f:
                self.kept = json.load(f)
        self.labels, self.seeds, self.known, self.fresh = labels, seeds, {}, {}

    def _measured(self, test):
        key = fingerprint(test, self.known)
        m = self.kept.get(key)
        if m is None:
            text = measure(test, self.n)
            m = {'test': test.title, 'ok': text is not None, 'seconds': test.seconds, 'hits': sorted(test.hits),
                 'cases': re.findall(r'^\[ RUN +\] (\w+)', text or '', re.M)}
        self.fresh[key] = m
        test.seconds, test.hits = m['seconds'], set(m['hits'])
        return m

    def _one(self, test):
        """The test, or its cases when it is slow; none when it fails."""
        m = self._measured(test)
        if test.label == 'sim' or not m['cases'] or (m['ok'] and test.seconds < SLOW_SECONDS):
            return [test] if m['ok'] else []
        cases = [Test(test.name, test.label, test.argv, test.env, test.cwd, c) for c in m['cases']]
        alone = [c for c in cases if self._measured(c)['ok']]
        return alone + ([test] if m['ok'] and len(alone) < len(cases) else [])  # some need those before them

    def measure(self, pool):
        """The tests that pass, in no order."""
        result = [t for tests in pool.map(self._one, programs(self.labels, self.seeds)) for t in tests]
        self.kept.update(self.fresh)
        with open(self.file, 'w') as f:
            json.dump(self.fresh if len(self.labels) == len(RANKS) else self.kept, f)
        return result


def find(mutant, tests):
    """Tries the mutant with the tests that it could matter to. Returns (the test that finds it or None, how, number
    of tests tried)."""
    tried = 0
    for test in sorted((t for t in tests if mutant in t.hits), key=Test.cost):
        tried += 1
        end, _ = execute(test, mutant, limit_seconds(test))
        if end != 'ok' and test.label == 'integration':  # not by chance, on a busy machine
            end, _ = execute(test, mutant, limit_seconds(test))
        if end != 'ok':
            return test.title, end, tried
    return None, '', tried
