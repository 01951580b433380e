"""What a run has shown: the table by folder and by kind, and the survivors. And the mutants that mean the same."""


class Equivalent:
    """equivalent.txt: `file function kind: text`, and below it, indented, why the mutant means the same."""

    def __init__(self, path):
        self.reasons, key = {}, None
        with open(path) as f:
            for line in f:
                if not line.strip() or line.startswith('#'):
                    continue
                if line[0].isspace():
                    self.reasons[key] = (self.reasons[key] + ' ' + line.strip()).strip()
                else:
                    key = ' '.join(line.split())
                    self.reasons[key] = ''
        without = [k for k, why in self.reasons.items() if not why]
        if without:
            raise SystemExit(f'mutate: {path}: no reason for: {without[0]}')

    def reason(self, m):
        get = m.get if isinstance(m, dict) else lambda name: getattr(m, {'file': 'path'}.get(name, name))
        return self.reasons.get(f"{get('file')} {get('function')} {get('kind')}: {get('text')}")


def table(rows, by):
    names = list(dict.fromkeys(r[by] for r in rows))
    print(f'{by:10} {"mutants":>8} {"found":>6} {"score":>6}')
    for name in names + ['all']:
        of = [r for r in rows if name in (r[by], 'all')]
        found = sum(r['status'] == 'found' for r in of)
        print(f'{name:10} {len(of):8} {found:6} {100 * found / len(of):5.1f} %')
    print()


def show(rows, equivalent):
    same = [r for r in rows if r['status'] != 'found' and equivalent.reason(r)]
    rows = [r for r in rows if r not in same]
    rows.sort(key=lambda r: (r['folder'], r['file'], r['line']))
    table(rows, 'folder')
    table(rows, 'kind')
    print(f'{len(same)} that mean the same are not counted\n')
    for r in rows:
        if r['status'] != 'found':
            why = 'no test reaches it' if r['status'] == 'unseen' else f"{r['tried']} tests pass"
            print(f"{r['file']}:{r['line']}: {r['function']}: {r['kind']} ({why}): {r['text']}\n{r['diff']}\n")
    return 0
