/* Memory whose size no client chose: running out of it ends the process with a message. And the
 * cleanup attributes that are used everywhere. */
#ifndef FM_MEM_H
#define FM_MEM_H

#include <stddef.h>
#include <stdlib.h>

/* Ends the process; for our own bugs, and when a small piece of memory cannot be had. */
_Noreturn void fm_abort(const char *what);
_Noreturn void fm_abort_oom(size_t bytes);

/* As malloc and so on; never NULL (also for 0 bytes). Free with free(). */
void *fm_xmalloc(size_t n);
void *fm_xcalloc(size_t n, size_t size);
void *fm_xrealloc(void *p, size_t n);
char *fm_xstrdup(const char *s);
/* Room for one more element behind the n that p has: p grows by doubling, and only when n is a power
 * of two. So an array is grown with this function alone. */
void *fm_xgrow(void *p, size_t n, size_t size);
/* A copy of n bytes; p may be NULL when n is 0. */
void *fm_xmemdup(const void *p, size_t n);

/* Locals that free or close themselves at the end of their scope: `fm_autofree char *s = …;`,
 * `fm_autoclose int fd = …;` (negative: nothing to close), `fm_auto(fm_buf) b = {0};` for any
 * struct X with a function X_done. What is to outlive the scope is taken out: `return
 * fm_take(s);`. */
void fm_autofree_cleanup(void *p);
void fm_autoclose_cleanup(int *fd);
#define fm_autofree __attribute__((cleanup(fm_autofree_cleanup)))
#define fm_autoclose __attribute__((cleanup(fm_autoclose_cleanup)))
#define fm_auto(type) __attribute__((cleanup(type##_done))) struct type
/* The pointer, which is NULL from then on. */
#define fm_take(pointer) fm_take_from(&(pointer))
void *fm_take_from(void *pointer);

#endif
