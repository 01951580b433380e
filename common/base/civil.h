/* Dates of the proleptic Gregorian calendar as days since 1970-01-01
 * (http://howardhinnant.github.io/date_algorithms.html). Pure functions. */
#ifndef FM_CIVIL_H
#define FM_CIVIL_H

#include <stdint.h>

/* Of month 1 to 12; days beyond a month's last go on into the next one. */
int64_t fm_civil_days(int64_t year, int month, int day);
void fm_civil_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);
int fm_civil_month_days(int64_t year, int month);

#endif
