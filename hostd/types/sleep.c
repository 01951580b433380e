/* Routine type "sleep" (common/catalog/types/sleep.json): passes its data on after a while. The
 * timer is durable: it outlives hosts and the coordinator, and a job that only sleeps is on no
 * host. What is past, or 0, is passed on at once. "until" goes by the coordinator's clock. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "builtin.h"
#include "times.h"

#define MAX_MS (366.0 * 24 * 3600 * 1000)

/* Days from 1970-01-01, of the proleptic Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool in_range(int n, int min, int max)
{
    return n >= min && n <= max;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (leap && month == 2);
}

/* "Z" or "+hh:mm" to minutes; false when it is neither. */
static bool read_offset(const char *s, int *ret_minutes)
{
    int h, m, end = 0;
    *ret_minutes = 0;
    if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
        return true;
    if ((s[0] != '+' && s[0] != '-') || sscanf(s + 1, "%2d:%2d%n", &h, &m, &end) != 2 || end != 5 ||
        s[6] != '\0' || !in_range(h, 0, 23) || !in_range(m, 0, 59))
        return false;
    *ret_minutes = s[0] == '-' ? -(h * 60 + m) : h * 60 + m;
    return true;
}

/* RFC 3339 to milliseconds since 1970; false when it is no such text. */
static bool read_time(const char *s, double *ret_ms)
{
    int year, month, day, hour, minute, second, end = 0, offset;
    double fraction = 0;
    if (strspn(s, "0123456789-:TtZz.+ ") != strlen(s) ||
        sscanf(s, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &end) !=
            6 ||
        end != 19)
        return false;
    if (s[end] == '.') {
        double unit = 0.1;
        for (end++; s[end] >= '0' && s[end] <= '9'; end++, unit /= 10)
            fraction += unit * (s[end] - '0');
    }
    if (!in_range(year, 1, 9999) || !in_range(month, 1, 12) ||
        !in_range(day, 1, days_in_month(year, month)) || !in_range(hour, 0, 23) || !in_range(minute, 0, 59) ||
        !in_range(second, 0, 60) || !read_offset(s + end, &offset))
        return false;
    double minutes = (double)days_of(year, month, day) * 1440 + hour * 60 + minute - offset;
    *ret_ms = (minutes * 60 + second + fraction) * 1000;
    return true;
}

/* How long to sleep, by the path of the data; false after a fault. */
static bool wait_by_data(struct fm_ctx *ctx, const struct fm_value *data, double *ret_ms)
{
    const struct fm_value *config = fm_ctx_config(ctx);
    const char *ms_path = fm_value_string(fm_value_get(config, "ms_path"), NULL);
    const char *path = ms_path != NULL ? ms_path : fm_value_string(fm_value_get(config, "until_path"), "");
    const struct fm_value *v = fm_value_get(data, path);
    enum fm_value_kind kind = fm_value_kind(v);
    double at = 0;
    if (ms_path != NULL && kind == FM_NUMBER) {
        *ret_ms = fm_value_number(v, 0);
        return true;
    }
    if (ms_path == NULL && kind == FM_NUMBER)
        at = fm_value_number(v, 0) * 1000;
    else if (ms_path != NULL || kind != FM_STRING || !read_time(fm_value_string(v, ""), &at)) {
        (void)fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "at \"%.128s\" in the data there is no %s", path,
                          ms_path != NULL ? "number"
                                          : "time: RFC 3339 text with an offset, or seconds since 1970");
        return false;
    }
    *ret_ms = at - (double)fm_ctx_now_ms(ctx);
    return true;
}

static int on_input(struct fm_ctx *ctx, const struct fm_value *data)
{
    const struct fm_value *fixed = fm_value_get(fm_ctx_config(ctx), "ms");
    double ms = fm_value_number(fixed, 0);
    if (fixed == NULL && !wait_by_data(ctx, data, &ms))
        return -1;
    if (!(ms <= MAX_MS))
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "a sleep of %.0f ms is too long; the limit is %.0f",
                           ms, MAX_MS);
    if (ms > 0)
        fm_ctx_schedule(ctx, "_due", data, fm_count_from(ceil(ms)), NULL);
    else
        fm_ctx_emit(ctx, "output", data);
    return 0;
}

static int on_due(struct fm_ctx *ctx, const struct fm_value *data)
{
    fm_ctx_emit(ctx, "output", data);
    return 0;
}

static const struct fm_slot slots[] = {
    {"input", on_input},
    {"_due",  on_due  }
};

/* The rest is in the catalog: see builtin.c. */
const struct fm_routine_type sleep_type = {
    .abi = FM_ROUTINE_ABI, .name = "sleep", .slots = slots, .n_slots = 2};
