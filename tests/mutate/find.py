"""Finds what can be mutated in a C file: reads it with libclang and returns its mutants, each with the
insertions that plant it next to all the others (see plant.py).

Kinds:
  negate  a condition is negated; a comparison by == or != elsewhere is turned round
  part    one operand of && or || no longer matters
  bound   <, <=, > or >= takes or leaves the limit itself, too
  drop    a statement is left out
  skip    an `if` that returns or jumps, without an else, no longer does
  free    a statement that only frees is left out (its own class: only the leak checker can see it)
Left out: declarations, log lines, assertions, what stands inside macros, initializers of static data."""
import hashlib
import re

from clang import cindex
from clang.cindex import CursorKind as K

EXPRESSIONS = (K.CALL_EXPR, K.BINARY_OPERATOR, K.COMPOUND_ASSIGNMENT_OPERATOR, K.UNARY_OPERATOR,
               K.CSTYLE_CAST_EXPR, K.PAREN_EXPR, K.UNEXPOSED_EXPR, K.CONDITIONAL_OPERATOR)
LEAVES = (K.RETURN_STMT, K.GOTO_STMT)
BOUNDS = {'<': '<=', '<=': '<', '>': '>=', '>=': '>'}
# Not mutated: what only says something, and what only ends the program when something impossible has happened.
LOGS = re.compile(r'(FM_LOG\w*|assert\w*|fm_abort\w*|fprintf|printf|perror)\s*\(')
UNUSED = re.compile(r'\(void\)\s*\w+\s*;?$')  # says that a parameter is not needed
FREES = re.compile(r'(\(void\)\s*)?'
                   r'(?!op_|watch_|mark_|conn_|unit_|hjob_)'  # these also take something out of a table
                   r'(free|json_decref|va_end|regfree|sqlite3_finalize|HASH_CLEAR|\w+_free|\w+_unref|'
                   r'(fm_buf|fm_err|fm_arena|kv|result|jq_outputs|list|sql)_done)\s*\(')
KINDS = ('negate', 'part', 'bound', 'drop', 'skip')
NUMBER = '@'  # stands for the mutant's number in what is inserted


class Mutant:
    def __init__(self, path, function, line, kind, text, before, after, edits):
        self.path, self.function, self.line, self.kind = path, function, line, kind
        self.text = ' '.join(text.split())  # of what is changed; names it together with the function
        self.before, self.after = before, after  # (offset, end, bytes): the plain change, for the reader
        self.edits = edits  # [(start, end, rank, open, close, [(start, end, text) replaced])]
        self.text_lines = text.count("\n")
        self.nth = 0
        self.number = 0
        self.folder = ''

    @property
    def key(self):
        return f'{self.path} {self.function} {self.kind} #{self.nth}: {self.text}'

    def rank(self, seed):
        """Its place in the order from which samples are taken; other code hardly changes it."""
        return hashlib.sha256(f'{seed} {self.key}'.encode()).hexdigest()


class Finder:
    def __init__(self, path, full_path, arguments):
        self.path = path
        with open(full_path, 'rb') as f:
            self.source = f.read()
        index = cindex.Index.create()
        self.unit = index.parse(full_path, arguments,
                                options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        fatal = [str(d) for d in self.unit.diagnostics if d.severity >= cindex.Diagnostic.Error]
        if fatal:
            raise RuntimeError(f'{path} cannot be read: {fatal[0]}')
        self.full_path = full_path
        self.macros = []
        self.mutants = []
        self.function = ''
        for c in self.unit.cursor.get_children():
            if c.kind == K.MACRO_INSTANTIATION and self.here(c):
                self.macros.append((c.extent.start.offset, c.extent.end.offset))
        self.macros.sort()

    def here(self, cursor):
        return cursor.location.file is not None and cursor.location.file.name == self.full_path

    def find(self):
        for c in self.unit.cursor.get_children():
            if c.kind == K.FUNCTION_DECL and self.here(c) and c.is_definition() and \
                    not self.in_macro(*self.range(c)):
                self.function = c.spelling
                for child in c.get_children():
                    if child.kind == K.COMPOUND_STMT:
                        self.statement(child)
        seen = {}
        for m in sorted(self.mutants, key=lambda m: (m.before[0], m.kind)):
            same = (m.function, m.kind, m.text)
            seen[same] = m.nth = seen.get(same, 0) + 1
        return sorted(self.mutants, key=lambda m: (m.before[0], m.kind))

    # --- places

    def range(self, cursor):
        return cursor.extent.start.offset, cursor.extent.end.offset

    def in_macro(self, s, e):
        return any(ms <= s and e <= me for ms, me in self.macros)

    def begins_in_macro(self, s):
        return any(ms <= s < me for ms, me in self.macros)

    def slice(self, s, e):
        return self.source[s:e].decode('utf-8', 'replace')

    def line(self, offset):
        return self.source.count(b'\n', 0, offset) + 1

    def semicolon(self, e):
        """The offset behind the semicolon that follows, or None when something else does."""
        m = re.compile(rb'(\s|/\*.*?\*/)*;', re.S).match(self.source, e)
        return m.end() if m else None

    # --- mutants

    def add(self, kind, s, e, after, edits, text=None):
        self.mutants.append(Mutant(self.path, self.function, self.line(s), kind, text or self.slice(s, e),
                                   (s, e), after, edits))

    def negate(self, s, e):
        self.add('negate', s, e, f'!({self.slice(s, e)})',
                 [(s, e, 3, '(!!(', f') ^ fm_m({NUMBER}))', [])])

    def part(self, s, e, operator):
        neutral = 'true' if operator == '&&' else 'false'
        close = f') || fm_m({NUMBER}))' if operator == '&&' else f') && !fm_m({NUMBER}))'
        self.add('part', s, e, neutral, [(s, e, 2, '((', close, [])])

    def bound(self, s, e, left, right, operator):
        a, b = f'fm_a{NUMBER}', f'fm_b{NUMBER}'
        strict = operator[0]
        if len(operator) == 1:
            test = f'{a} {operator} {b} || ({a} == {b} && fm_m({NUMBER}))'
        else:
            test = f'{a} {strict} {b} || ({a} == {b} && !fm_m({NUMBER}))'
        other = self.source[left[1]:right[0]].replace(operator.encode(), BOUNDS[operator].encode()).decode()
        gap = '\n' * self.source.count(b'\n', left[1], right[0])
        self.add('bound', s, e, self.slice(*left) + other + self.slice(*right),
                 [(s, e, 1, f'({{ __auto_type {a} = (', f'); {test}; }})',
                   [(left[1], right[0], f'); {gap}__auto_type {b} = (')])])

    def drop(self, s, e):
        text = self.slice(s, e)
        if LOGS.match(text) or UNUSED.match(text):
            return
        kind = 'free' if FREES.match(text) else 'drop'
        self.add(kind, s, e, ';', [(s, e, 5, f'{{ if (!fm_m({NUMBER})) ', ' }', [])])

    def skip(self, s, e):
        self.add('skip', s, e, 'false', [(s, e, 4, '((', f') && !fm_m({NUMBER}))', [])])

    # --- the walk

    def statement(self, c):
        kids = list(c.get_children())
        s, e = self.range(c)
        if self.in_macro(s, e):
            return
        if c.kind == K.COMPOUND_STMT:
            for k in kids:
                self.one_of_block(k)
        elif c.kind == K.IF_STMT:
            self.if_statement(c, kids)
        elif c.kind in (K.WHILE_STMT, K.DO_STMT, K.FOR_STMT):
            self.loop(c, kids)
        elif c.kind == K.SWITCH_STMT:
            self.expression(kids[0])
            self.one_of_block(kids[-1])
        elif c.kind in (K.CASE_STMT, K.DEFAULT_STMT, K.LABEL_STMT):
            if kids:
                self.one_of_block(kids[-1])
        elif c.kind == K.DECL_STMT:
            for k in kids:
                if k.kind == K.VAR_DECL and k.storage_class != cindex.StorageClass.STATIC:
                    for i in k.get_children():
                        self.expression(i)
        elif c.kind == K.RETURN_STMT:
            for k in kids:
                self.expression(k)
        elif c.kind in EXPRESSIONS:
            self.expression(c)

    def one_of_block(self, c):
        """A statement where any statement may stand."""
        s, e = self.range(c)
        droppable = c.kind in EXPRESSIONS or c.kind in (K.BREAK_STMT, K.CONTINUE_STMT) or \
            (c.kind == K.RETURN_STMT and not list(c.get_children())) or (s, e) in self.macros
        end = self.semicolon(e) if droppable and c.kind != K.DECL_STMT and s < e else None
        if end is not None:
            self.drop(s, end)
        self.statement(c)

    def leaves(self, body):
        if body.kind == K.COMPOUND_STMT:
            kids = list(body.get_children())
            return bool(kids) and kids[-1].kind in LEAVES
        return body.kind in LEAVES

    def only_leaves(self, body):
        kids = list(body.get_children())
        return body.kind in LEAVES or \
            (body.kind == K.COMPOUND_STMT and len(kids) == 1 and kids[0].kind in LEAVES)

    def if_statement(self, c, kids):
        self.condition(kids[0], c)
        then = kids[1]
        if len(kids) == 2 and self.leaves(then):
            s, e = self.range(kids[0])
            if not self.begins_in_macro(self.range(c)[0]):
                self.skip(s, e)
        if self.only_leaves(then):
            for k in ([then] if then.kind in LEAVES else list(then.get_children())):
                self.statement(k)
        else:
            self.one_of_block(then)
        if len(kids) > 2:
            self.one_of_block(kids[2])

    def loop(self, c, kids):
        s, _ = self.range(c)
        body = kids[0] if c.kind == K.DO_STMT else kids[-1]
        if not self.begins_in_macro(s):
            for k in kids:
                if k != body:
                    self.loop_part(c, k)
        self.one_of_block(body)

    def loop_part(self, c, k):
        if k.kind == K.DECL_STMT:
            self.statement(k)
            return
        s, e = self.range(k)
        if c.kind == K.FOR_STMT:
            # Of the three parts, the condition stands behind one semicolon and before another.
            head = self.source[self.range(c)[0]:s]
            if head.count(b';') != 1 or self.semicolon(e) is None:
                self.expression(k)
                return
        self.condition(k, c)

    def condition(self, k, parent):
        s, e = self.range(k)
        if self.begins_in_macro(self.range(parent)[0]) or (self.in_macro(s, e) and (s, e) not in self.macros):
            return
        self.negate(s, e)
        self.expression(k, negated=True)

    def expression(self, c, negated=False):
        """Whatever can be mutated in an expression; negated: it is a condition that is negated as a whole."""
        s, e = self.range(c)
        if self.in_macro(s, e) or e <= s:
            return
        kids = list(c.get_children())
        if c.kind == K.BINARY_OPERATOR and len(kids) == 2:
            self.binary(c, kids, negated)
        elif c.kind == K.CONDITIONAL_OPERATOR and len(kids) == 3:
            self.condition(kids[0], c)
            self.expression(kids[1])
            self.expression(kids[2])
        elif c.kind in (K.UNEXPOSED_EXPR, K.PAREN_EXPR) and len(kids) == 1:
            self.expression(kids[0], negated)
        elif c.kind == K.StmtExpr:
            for k in kids:
                self.statement(k)
        elif c.kind not in (K.CXX_UNARY_EXPR, K.TYPE_REF):  # sizeof
            for k in kids:
                self.expression(k)

    def binary(self, c, kids, negated):
        s, e = self.range(c)
        left, right = self.range(kids[0]), self.range(kids[1])
        operator = re.sub(rb'/\*.*?\*/', b'', self.source[left[1]:right[0]], flags=re.S).strip().decode()
        plain = left[0] == s and right[1] == e and left[1] <= right[0]
        if plain and operator in ('&&', '||'):
            for r in (left, right):
                self.part(*r, operator)
        elif plain and operator in BOUNDS:
            self.bound(s, e, left, right, operator)
        elif plain and operator in ('==', '!=') and not negated:
            self.negate(s, e)
        for k in kids:
            self.expression(k)
