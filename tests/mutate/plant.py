"""Plants all mutants of a file at once. Every mutant is an insertion that does nothing unless its number is the
value of FM_MUTANT in the environment, so one build serves them all:
    if ((!!(a == b) ^ fm_m(17)))              { if (!fm_m(18)) forget(job); }
fm_m(n) also notes in a shared file (FM_MUTANT_HITS) that it was asked: it is written so that it is asked only
where the mutant would make a difference, such as in `((bad) && !fm_m(19))` only when `bad` is true."""
import difflib

PROLOGUE = ('extern int fm_mutant; extern volatile unsigned char *fm_mutant_hits; '
            'static inline int fm_m(int n) { if (fm_mutant_hits) fm_mutant_hits[n] = 1; return fm_mutant == n; }\n'
            '#line 1\n')

RUNTIME = r'''
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int fm_mutant;
volatile unsigned char *fm_mutant_hits;
__attribute__((constructor)) static void fm_mutant_start(void)
{
    const char *number = getenv("FM_MUTANT"), *file = getenv("FM_MUTANT_HITS");
    struct stat st;
    fm_mutant = number == NULL ? 0 : atoi(number);
    int fd = file == NULL ? -1 : open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED)
            fm_mutant_hits = p;
    }
    close(fd);
}
'''


def planted(source, mutants):
    """The source with all these mutants in it."""
    opens, closes, replaced = {}, {}, []
    for m in mutants:
        for s, e, rank, before, after, gaps in m.edits:
            n = str(m.number)
            opens.setdefault(s, []).append((-e, -rank, before.replace('@', n)))
            closes.setdefault(e, []).append((-s, rank, after.replace('@', n)))
            replaced += [(gs, ge, text.replace('@', n)) for gs, ge, text in gaps]
    gaps = {s: (e, text) for s, e, text in replaced}
    places = sorted(set(opens) | set(closes) | set(gaps) | {s for s in gaps})
    out, at = [], 0
    for p in places:
        if p > at:
            out.append(source[at:p])
            at = p
        out += [text.encode() for _, _, text in sorted(closes.get(p, []))]
        if p in gaps:  # what is between two operands: nothing else is there
            at = gaps[p][0]
            out.append(gaps[p][1].encode())
            continue
        out += [text.encode() for _, _, text in sorted(opens.get(p, []))]
    out.append(source[at:])
    return PROLOGUE.encode() + b''.join(out)


def diff(source, mutant):
    """The mutant as a plain change, for the reader."""
    s, e = mutant.before
    changed = source[:s] + mutant.after.encode() + source[e:]
    lines = difflib.unified_diff(source.decode().splitlines(), changed.decode().splitlines(),
                                 mutant.path, mutant.path, n=2, lineterm='')
    return '\n'.join(list(lines)[2:])
