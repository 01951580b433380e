/* Origins of URLs: scheme, host and port. */
#ifndef FM_ORIGIN_H
#define FM_ORIGIN_H

#include <stddef.h>

#define ORIGIN_BYTES 320 /* of the longest, with its NUL: "https://", a host of 255 bytes, a port */

/* The origin of an http or https URL as one text for all its spellings: "https://api.example.com:443".
 * Read by the very parser that reads the URLs of requests. -1: the URL is none, or its host is too
 * long. */
int origin_of(const char *url, char out[ORIGIN_BYTES]);
/* The same of a text that names an origin only: nothing, or "/", follows it, and no user is in it. */
int origin_read(const char *text, size_t n, char out[ORIGIN_BYTES]);

#endif
