/* Bytes: borrowed views, growable buffers, and writing protobuf's wire format by hand where
 * encoded parts are put together. Not thread-safe. */
#ifndef FM_BUF_H
#define FM_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of somebody else's bytes. */
struct fm_bytes {
    const uint8_t *p;
    size_t n;
};

#define FM_NO_BYTES ((struct fm_bytes){NULL, 0})

/* The text without its NUL; none of NULL. */
struct fm_bytes fm_bytes_of(const char *text);
bool fm_bytes_eq(struct fm_bytes a, struct fm_bytes b);
bool fm_bytes_eq_str(struct fm_bytes a, const char *s);

/* Length of the valid UTF-8 sequence (RFC 3629) that starts at p, of which n >= 1 bytes are
 * there; 0 when it is not valid. */
size_t fm_utf8_sequence(const uint8_t *p, size_t n);
/* Length of the text (valid UTF-8) in bytes, at most `most`, without a part of a character at
 * its end. */
size_t fm_utf8_cut(const char *text, size_t most);
/* Texts from outside become valid UTF-8 without NUL: each byte that is none of it becomes '?'. */
void fm_utf8_mend(char *text, size_t n);
/* As vsnprintf, but the result is valid UTF-8, whatever the arguments were, and cut at a character,
 * with "..." behind. For all messages in which texts from outside may be. */
void fm_utf8_format(char *out, size_t n, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* A growable buffer; {0} is empty. Growing ends the process when memory runs out: bound what you
 * append. */
struct fm_buf {
    uint8_t *p;
    size_t n, cap;
};

/* Makes room for n more bytes. */
void fm_buf_reserve(struct fm_buf *b, size_t n);
void fm_buf_append(struct fm_buf *b, const void *p, size_t n);
/* Empties it and keeps its memory. */
void fm_buf_reset(struct fm_buf *b);
/* Releases its memory and empties it. */
void fm_buf_done(struct fm_buf *b);

/* What is in it; until it changes. */
static inline struct fm_bytes fm_buf_bytes(const struct fm_buf *b)
{
    return (struct fm_bytes){b->p, b->n};
}
/* The buffer itself, which is empty from then on. */
struct fm_buf fm_buf_take(struct fm_buf *b);

/* Writes n bytes as 2 n hexadecimal digits and a NUL. */
void fm_hex(const void *p, size_t n, char *ret);

/* ---- protobuf wire format (https://protobuf.dev/programming-guides/encoding/) ---- */

/* Bytes of a varint. */
size_t fm_varint_size(uint64_t v);
void fm_buf_put_varint(struct fm_buf *b, uint64_t v);
/* A varint field. */
void fm_buf_put_tag_varint(struct fm_buf *b, uint32_t field, uint64_t v);
/* A length-delimited field. */
void fm_buf_put_len_delim(struct fm_buf *b, uint32_t field, const void *p, size_t n);
/* Tag and length of such a field; n bytes must follow. */
void fm_buf_put_len_header(struct fm_buf *b, uint32_t field, size_t n);
/* A string field. */
void fm_buf_put_string(struct fm_buf *b, uint32_t field, const char *s);
/* A double field. */
void fm_buf_put_double(struct fm_buf *b, uint32_t field, double v);

#endif
