/* Times as people write them. See rfc3339.h. */
#include "rfc3339.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "civil.h"

static bool in_range(int n, int min, int max)
{
    return n >= min && n <= max;
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

bool fm_time_read(const char *s, double *ret_ms)
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
        !in_range(day, 1, fm_civil_month_days(year, month)) || !in_range(hour, 0, 23) ||
        !in_range(minute, 0, 59) || !in_range(second, 0, 60) || !read_offset(s + end, &offset))
        return false;
    double minutes = (double)fm_civil_days(year, month, day) * 1440 + hour * 60 + minute - offset;
    *ret_ms = (minutes * 60 + second + fraction) * 1000;
    return true;
}

const char *fm_time_text(int64_t ms, char out[FM_TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : -((999 - ms) / 1000));
    int rest = (int)(ms - (int64_t)seconds * 1000);
    struct tm tm;
    char fraction[8] = "";
    if (rest != 0)
        (void)snprintf(fraction, sizeof(fraction), ".%03d", rest);
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        (void)snprintf(out, 24, "%lld", (long long)seconds);
    (void)snprintf(out + strlen(out), FM_TIME_TEXT_BYTES - strlen(out), "%sZ", fraction);
    return out;
}
