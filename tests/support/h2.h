/* HTTP/2 and gRPC framing by hand, for clients that do what no library would do. Blocking sockets; a peer
 * that closes or resets is a normal outcome, so sending returns whether it was possible. */
#ifndef FM_TEST_H2_H
#define FM_TEST_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h2_type {
    H2_DATA,
    H2_HEADERS,
    H2_PRIORITY,
    H2_RST_STREAM,
    H2_SETTINGS,
    H2_PUSH_PROMISE,
    H2_PING,
    H2_GOAWAY,
    H2_WINDOW_UPDATE,
    H2_CONTINUATION
};
#define H2_END_STREAM 1
#define H2_ACK 1
#define H2_END_HEADERS 4
#define H2_WINDOW 65535 /* what may be sent before the first WINDOW_UPDATE */

/* Raises the limit of open files of this process to its hard limit, which is returned. */
size_t h2_raise_files(void);
/* A connection from 127.0.0.`from` (any address of loopback; 1 is the usual one), without the preface; it
 * must come about. A close does not leave it in TIME_WAIT. */
int h2_tcp(const char *address, unsigned from);
/* The same without TLS, even where tests use it (certs.h); -1 when it is refused or not taken in time. */
int h2_raw_tcp(const char *address, unsigned from);
/* The same as h2_tcp, or -1. */
int h2_try_tcp(const char *address, unsigned from);
/* Sends the preface and empty settings. */
bool h2_preface(int fd);
/* The two together. */
int h2_open(const char *address);

/* All of the bytes; false when the peer has closed, or takes nothing for long. */
bool h2_send(int fd, const void *bytes, size_t n);
/* The same byte by byte. */
bool h2_send_slowly(int fd, const void *bytes, size_t n);
bool h2_frame(int fd, enum h2_type type, uint8_t flags, uint32_t stream, const void *payload, size_t n);
/* A frame header in `out` (9 bytes), with whatever length. */
void h2_frame_header(uint8_t *out, size_t length, enum h2_type type, uint8_t flags, uint32_t stream);

/* A header block: literals without indexing. */
struct h2_block {
    uint8_t *p;
    size_t n;
};
void h2_literal(struct h2_block *b, const char *name, const char *value);
/* The same; the value may have any bytes. */
void h2_literal_bytes(struct h2_block *b, const char *name, const void *value, size_t n);
/* What a gRPC client sends first for this path; content_type NULL is application/grpc. */
void h2_request(struct h2_block *b, const char *path, const char *content_type);
/* The same with a path of any bytes. */
void h2_request_bytes(struct h2_block *b, const void *path, size_t n, const char *content_type);
void h2_block_free(struct h2_block *b);
/* HEADERS of such a request. */
bool h2_call(int fd, uint32_t stream, const char *path);
/* DATA with one gRPC message, its prefix as given. */
bool h2_message(int fd, uint32_t stream, uint8_t flags, uint8_t compressed, uint32_t length, const void *p,
                size_t n);

/* What ended a wait. */
enum h2_end { H2_STREAM_ENDED, H2_STREAM_RESET, H2_WENT_AWAY, H2_CLOSED, H2_NOTHING };
/* Reads frames until this stream has ended or been reset, or the connection has (stream 0: only that). The
 * last header block, of which literals can be read, is at `ret_block` (NULL, or zeroed; for h2_block_free).
 */
enum h2_end h2_wait_end(int fd, uint32_t stream, int timeout_ms, struct h2_block *ret_block);
/* Sends n bytes as DATA as fast as the peer's windows allow, with the flags on the last frame. Returns
 * H2_NOTHING when all are sent, or how the peer ended the stream or the connection before. On a stream on
 * which nothing has been sent before; the block as that of h2_wait_end. */
enum h2_end h2_send_data(int fd, uint32_t stream, uint8_t flags, const void *p, size_t n, int timeout_ms,
                         struct h2_block *ret_block);
/* A gRPC message of n bytes with its prefix, flagged as compressed, for free(): gzip of 158 times as many
 * zeros (its checksum is wrong). */
uint8_t *h2_gzip_bomb(size_t n);
/* As a server: reads the client's preface, sends empty settings, and returns the stream of its first
 * request, whose header block has come. 0: none has. */
uint32_t h2_serve(int fd, int timeout_ms);
/* True when the text is in the block. */
bool h2_block_has(const struct h2_block *b, const char *text);

#endif
