/* See pb_text.h. */
#include "pb_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "civil.h"
#include "times.h"

#define DAY 86400
#define MAX_DURATION INT64_C(315576000000)
#define GIGA 1000000000

static void put_fraction(struct fm_buf *out, int32_t nanos)
{
    char text[16];
    if (nanos == 0)
        return;
    if (nanos % 1000000 == 0)
        snprintf(text, sizeof(text), ".%03d", nanos / 1000000);
    else if (nanos % 1000 == 0)
        snprintf(text, sizeof(text), ".%06d", nanos / 1000);
    else
        snprintf(text, sizeof(text), ".%09d", nanos);
    fm_buf_append(out, text, strlen(text));
}

bool pb_timestamp_put(struct fm_buf *out, int64_t seconds, int32_t nanos)
{
    if (seconds < FM_MIN_SECONDS || seconds > FM_MAX_SECONDS || nanos < 0 || nanos >= GIGA)
        return false;
    int64_t days = seconds >= 0 ? seconds / DAY : -((DAY - 1 - seconds) / DAY);
    int rest = (int)(seconds - days * DAY), month, day;
    int64_t year;
    char text[64];
    fm_civil_date(days, &year, &month, &day);
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, month, day, rest / 3600,
             rest / 60 % 60, rest % 60);
    fm_buf_append(out, text, strlen(text));
    put_fraction(out, nanos);
    fm_buf_append(out, "Z", 1);
    return true;
}

/* A cursor over text: what is read is taken off. */
struct cursor {
    const char *p;
    size_t n;
};

static bool take(struct cursor *c, char what)
{
    if (c->n == 0 || *c->p != what)
        return false;
    c->p++;
    c->n--;
    return true;
}

static bool digits(struct cursor *c, size_t n, int64_t *v)
{
    *v = 0;
    if (c->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (c->p[i] < '0' || c->p[i] > '9')
            return false;
        *v = *v * 10 + (c->p[i] - '0');
    }
    c->p += n;
    c->n -= n;
    return true;
}

static size_t span(const struct cursor *c)
{
    size_t n = 0;
    while (n < c->n && c->p[n] >= '0' && c->p[n] <= '9')
        n++;
    return n;
}

/* ".5", of 1 to 9 digits, or nothing. */
static bool fraction(struct cursor *c, int32_t *nanos)
{
    int64_t v;
    *nanos = 0;
    if (!take(c, '.'))
        return true;
    size_t n = span(c);
    if (n < 1 || n > 9 || !digits(c, n, &v))
        return false;
    for (; n < 9; n++)
        v *= 10;
    *nanos = (int32_t)v;
    return true;
}

/* "Z", "+02:00" */
static bool offset(struct cursor *c, int64_t *seconds)
{
    int64_t hours, minutes;
    *seconds = 0;
    if (take(c, 'Z'))
        return true;
    int sign = take(c, '+') ? 1 : take(c, '-') ? -1 : 0;
    if (sign == 0 || !digits(c, 2, &hours) || !take(c, ':') || !digits(c, 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool pb_timestamp_get(const char *text, size_t n, int64_t *seconds, int32_t *nanos)
{
    struct cursor c = {text, n};
    int64_t year, month, day, hour, minute, second, off;
    if (!digits(&c, 4, &year) || !take(&c, '-') || !digits(&c, 2, &month) || !take(&c, '-') ||
        !digits(&c, 2, &day) || !take(&c, 'T') || !digits(&c, 2, &hour) || !take(&c, ':') ||
        !digits(&c, 2, &minute) || !take(&c, ':') || !digits(&c, 2, &second) || !fraction(&c, nanos) ||
        !offset(&c, &off) || c.n > 0)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > fm_civil_month_days(year, (int)month) || hour > 23 ||
        minute > 59 || second > 59)
        return false;
    *seconds = fm_civil_days(year, (int)month, (int)day) * DAY + hour * 3600 + minute * 60 + second - off;
    return *seconds >= FM_MIN_SECONDS && *seconds <= FM_MAX_SECONDS;
}

bool pb_duration_put(struct fm_buf *out, int64_t seconds, int32_t nanos)
{
    char text[32];
    if (seconds < -MAX_DURATION || seconds > MAX_DURATION || nanos <= -GIGA || nanos >= GIGA ||
        (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
        return false;
    snprintf(text, sizeof(text), "%s%lld", seconds < 0 || nanos < 0 ? "-" : "",
             (long long)(seconds < 0 ? -seconds : seconds));
    fm_buf_append(out, text, strlen(text));
    put_fraction(out, nanos < 0 ? -nanos : nanos);
    fm_buf_append(out, "s", 1);
    return true;
}

bool pb_duration_get(const char *text, size_t n, int64_t *seconds, int32_t *nanos)
{
    struct cursor c = {text, n};
    bool negative = take(&c, '-');
    size_t whole = span(&c);
    if (whole < 1 || whole > 12 || !digits(&c, whole, seconds) || !fraction(&c, nanos) || !take(&c, 's') ||
        c.n > 0 || *seconds > MAX_DURATION)
        return false;
    if (negative) {
        *seconds = -*seconds;
        *nanos = -*nanos;
    }
    return true;
}

/* What a path is made of, but for letters and '_'. */
static bool other_of_path(char c)
{
    return (c >= '0' && c <= '9') || c == '.';
}

bool pb_mask_path_put(struct fm_buf *out, struct fm_bytes path)
{
    bool up = false;
    for (size_t i = 0; i < path.n; i++) {
        char c = (char)path.p[i];
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && (up || (c != '_' && !other_of_path(c))))
            return false;
        if (c == '_') {
            up = true;
            continue;
        }
        if (up)
            c = (char)(c - 'a' + 'A');
        up = false;
        fm_buf_append(out, &c, 1);
    }
    return !up;
}

bool pb_mask_path_get(struct fm_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z') {
            fm_buf_append(out, "_", 1);
            c = (char)(c - 'A' + 'a');
        } else if ((c < 'a' || c > 'z') && !other_of_path(c)) {
            return false;
        }
        fm_buf_append(out, &c, 1);
    }
    return true;
}
