/* Results: a table for people, one of the goals in Markdown, JSON for machines, a plot of W4. See bench.h. */
#include "bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define MAX_RESULTS 128
#define MAX_POINTS 8

static struct bench_result results[MAX_RESULTS];
static size_t n_results;

static struct point {
    double jobs, coordinator_mb, host_mb, start_ms, w1_ms, bytes;
} points[MAX_POINTS];
static size_t n_points;

struct bench_result *bench_result(const char *work, const char *unit, double value, double goal,
                                  const char *fmt, ...)
{
    if (n_results == MAX_RESULTS)
        abort();
    struct bench_result *r = &results[n_results++];
    va_list ap;
    snprintf(r->work, sizeof(r->work), "%s", work);
    snprintf(r->unit, sizeof(r->unit), "%s", unit);
    r->value = value;
    r->goal = goal;
    r->more_is_better = strstr(unit, "/s") != NULL || unit[0] == '%';
    va_start(ap, fmt);
    vsnprintf(r->name, sizeof(r->name), fmt, ap);
    va_end(ap);
    return r;
}

void bench_ratio(struct bench_result *r, double ratio, const char *of)
{
    r->ratio = ratio;
    snprintf(r->ratio_of, sizeof(r->ratio_of), "%s", of);
}

void bench_against(struct bench_result *r, double amount, const double *baseline, const char *of)
{
    bench_ratio(r, amount, of);
    r->base = baseline;
}

void bench_value_against(struct bench_result *r, double amount, const double *baseline)
{
    r->value = amount;
    r->base = baseline;
    r->value_is_ratio = true;
}

void bench_rounds(struct bench_result *r, const double *values, size_t n)
{
    memcpy(r->rounds, values, n * sizeof(*values));
    r->n_rounds = n;
}

void bench_point(double jobs, double coordinator_mb, double host_mb, double start_ms, double w1_ms,
                 double bytes)
{
    if (n_points == MAX_POINTS)
        abort();
    points[n_points++] = (struct point){jobs, coordinator_mb, host_mb, start_ms, w1_ms, bytes};
}

static double ratio_of(const struct bench_result *r)
{
    return r->base != NULL ? r->ratio / *r->base : r->ratio;
}

static double bench_value(const struct bench_result *r)
{
    return r->value_is_ratio ? r->value / *r->base : r->value;
}

static bool met(const struct bench_result *r)
{
    double v = bench_value(r);
    return r->more_is_better ? v >= r->goal : v <= r->goal;
}

static const char *number(double v, char *out, size_t n)
{
    snprintf(out, n, v != 0 && fabs(v) < 10 ? "%.2f" : fabs(v) < 1000 ? "%.1f" : "%.0f", v);
    return out;
}

/* ---- was the machine quiet? ---- */

/* The rounds of a baseline, least and greatest; false when they are within a factor of two. */
static bool unquiet(const struct bench_result *r, double *ret_least, double *ret_most)
{
    *ret_least = *ret_most = r->rounds[0];
    for (size_t i = 1; i < r->n_rounds; i++) {
        *ret_least = fmin(*ret_least, r->rounds[i]);
        *ret_most = fmax(*ret_most, r->rounds[i]);
    }
    return *ret_most > 2 * *ret_least;
}

/* What of a result shows that the machine was not quiet; false: nothing. */
static bool warning(const struct bench_result *r, char *out, size_t n)
{
    double least, most;
    char a[32], b[32];
    if (r->at_least_one && ratio_of(r) < 1) {
        snprintf(out, n,
                 "%s took less than %s, which cannot be: the disk was slower when those were measured",
                 r->name, r->ratio_of);
        return true;
    }
    if (!unquiet(r, &least, &most))
        return false;
    snprintf(out, n, "%s gave between %s and %s %s", r->name, number(least, a, sizeof(a)),
             number(most, b, sizeof(b)), r->unit);
    return true;
}

#define NOT_QUIET                                                                                            \
    "The machine was not quiet: ratios, and times that wait for the disk or a core, mean little."

static void print_warnings(FILE *f, const char *head, const char *item)
{
    char text[256];
    size_t n = 0;
    if (bench_about_busy(text, sizeof(text)))
        fprintf(f, "%s%s%s\n", n++ == 0 ? head : "", item, text);
    for (size_t i = 0; i < n_results; i++)
        if (warning(&results[i], text, sizeof(text)))
            fprintf(f, "%s%s%s\n", n++ == 0 ? head : "", item, text);
}

/* ---- tables ---- */

static void print_rounds(FILE *f, const struct bench_result *r)
{
    char text[32];
    for (size_t i = 0; i < r->n_rounds; i++)
        fprintf(f, "%s%s", i == 0 ? "rounds: " : ", ", number(r->rounds[i], text, sizeof(text)));
}

void bench_print(FILE *f)
{
    char value[32], goal[32];
    fprintf(f, "%-5s %-58s %12s %-8s %-14s %s\n", "", "", "measured", "", "goal", "");
    for (size_t i = 0; i < n_results; i++) {
        const struct bench_result *r = &results[i];
        fprintf(f, "%-5s %-58s %12s %-8s ", r->work, r->name, number(bench_value(r), value, sizeof(value)),
                r->unit);
        if (r->goal > 0)
            fprintf(f, "%s %-8s %-3s", r->more_is_better ? ">=" : "<=", number(r->goal, goal, sizeof(goal)),
                    met(r) ? "met" : "no");
        else
            fprintf(f, "%-15s", "");
        if (r->ratio_of[0] != '\0')
            fprintf(f, " %s %s", number(ratio_of(r), value, sizeof(value)), r->ratio_of);
        print_rounds(f, r);
        fprintf(f, "\n");
    }
    print_warnings(f, "WARNING: " NOT_QUIET "\n", "  ");
}

/* What a page about the speed shows: the baselines and what has a goal. */
static void print_markdown(FILE *f, const char *scale, json_t *about)
{
    char value[32], goal[32];
    json_t *machine = json_object_get(about, "machine");
    const char *commit = json_string_value(json_object_get(about, "commit"));
    fprintf(f,
            "Measured %s, version %s%s%s, sizes `%s`, on %d cores (%s, %s), load average %.1f at the start "
            "and %.1f at the end.\n",
            json_string_value(json_object_get(about, "date")), FERMATA_VERSION,
            commit != NULL ? ", commit " : "", commit != NULL ? commit : "", scale,
            (int)json_integer_value(json_object_get(machine, "cores")),
            json_string_value(json_object_get(machine, "cpu")),
            json_string_value(json_object_get(machine, "kernel")),
            json_real_value(json_object_get(about, "load_start")),
            json_real_value(json_object_get(about, "load_end")));
    print_warnings(f, "\n**" NOT_QUIET "**\n\n", "* ");
    fprintf(f, "\n| | | measured | goal | reached | |\n| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < n_results; i++) {
        const struct bench_result *r = &results[i];
        if (r->goal <= 0 && r->n_rounds == 0)
            continue;
        fprintf(f, "| %s | %s | %s %s | ", r->work, r->name, number(bench_value(r), value, sizeof(value)),
                r->unit);
        if (r->goal > 0)
            fprintf(f, "%s %s | %s | ", r->more_is_better ? "≥" : "≤", number(r->goal, goal, sizeof(goal)),
                    met(r) ? "yes" : "no");
        else
            fprintf(f, "| | ");
        if (r->ratio_of[0] != '\0')
            fprintf(f, "%s %s", number(ratio_of(r), value, sizeof(value)), r->ratio_of);
        print_rounds(f, r);
        fprintf(f, " |\n");
    }
}

/* ---- JSON ---- */

static json_t *result_json(const struct bench_result *r)
{
    json_t *j = json_pack("{s:s,s:s,s:f,s:s}", "workload", r->work, "name", r->name, "value", bench_value(r),
                          "unit", r->unit);
    if (r->goal > 0) {
        json_object_set_new(j, r->more_is_better ? "at_least" : "at_most", json_real(r->goal));
        json_object_set_new(j, "met", json_boolean(met(r)));
    }
    if (r->ratio_of[0] != '\0') {
        json_object_set_new(j, "ratio", json_real(ratio_of(r)));
        json_object_set_new(j, "ratio_of", json_string(r->ratio_of));
    }
    if (r->n_rounds > 0) {
        json_t *rounds = json_array();
        for (size_t i = 0; i < r->n_rounds; i++)
            json_array_append_new(rounds, json_real(r->rounds[i]));
        json_object_set_new(j, "rounds", rounds);
    }
    return j;
}

/* Takes `about`. */
static json_t *as_json(const char *scale, const char *only, json_t *about)
{
    json_t *list = json_array(), *w4 = json_array(), *warnings = json_array();
    char text[256];
    json_object_set_new(about, "scale", json_string(scale));
    if (only != NULL)
        json_object_set_new(about, "only", json_string(only));
    if (bench_about_busy(text, sizeof(text)))
        json_array_append_new(warnings, json_string(text));
    for (size_t i = 0; i < n_results; i++) {
        json_array_append_new(list, result_json(&results[i]));
        if (warning(&results[i], text, sizeof(text)))
            json_array_append_new(warnings, json_string(text));
    }
    for (size_t i = 0; i < n_points; i++)
        json_array_append_new(w4, json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "paused_jobs", points[i].jobs,
                                            "coordinator_mb", points[i].coordinator_mb, "hostd_mb",
                                            points[i].host_mb, "start_ms", points[i].start_ms, "w1_ms",
                                            points[i].w1_ms, "disk_bytes_per_job", points[i].bytes));
    json_object_set_new(about, "quiet", json_boolean(json_array_size(warnings) == 0));
    json_object_set_new(about, "warnings", warnings);
    json_object_set_new(about, "results", list);
    json_object_set_new(about, "w4", w4);
    return about;
}

/* ---- the plot ---- */

enum { LEFT = 70, WIDTH = 420, TOP = 30, HEIGHT = 110, GAP = 50, CHARTS = 4 };

static double x_of(double jobs)
{
    double last = points[n_points - 1].jobs;
    return LEFT + WIDTH * log10(jobs + 1) / log10(last > 9 ? last + 1 : 10);
}

/* One curve over the number of paused jobs. */
static void chart(FILE *f, int row, const char *title, size_t offset)
{
    double max = 0, bottom = TOP + row * (HEIGHT + GAP) + HEIGHT;
    for (size_t i = 0; i < n_points; i++) {
        double v = *(const double *)((const char *)&points[i] + offset);
        max = v > max ? v : max;
    }
    max = max > 0 ? max * 1.15 : 1;
    fprintf(f, "<text x=\"%d\" y=\"%.0f\" font-weight=\"bold\">%s</text>\n", LEFT, bottom - HEIGHT - 6,
            title);
    fprintf(f, "<path d=\"M%d %.0fV%.0fH%d\" fill=\"none\" stroke=\"#888\"/>\n<polyline points=\"", LEFT,
            bottom - HEIGHT, bottom, LEFT + WIDTH);
    for (size_t i = 0; i < n_points; i++)
        fprintf(f, "%.1f,%.1f ", x_of(points[i].jobs),
                bottom - HEIGHT * *(const double *)((const char *)&points[i] + offset) / max);
    fprintf(f, "\" fill=\"none\" stroke=\"#1668b8\" stroke-width=\"2\"/>\n");
    for (size_t i = 0; i < n_points; i++) {
        double v = *(const double *)((const char *)&points[i] + offset), x = x_of(points[i].jobs);
        char text[32];
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"#1668b8\"/>", x,
                bottom - HEIGHT * v / max);
        fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>", x,
                bottom - HEIGHT * v / max - 7, number(v, text, sizeof(text)));
        fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>\n", x, bottom + 15,
                points[i].jobs);
    }
}

static bool write_plot(const char *path)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return false;
    int height = TOP + CHARTS * (HEIGHT + GAP);
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            LEFT + WIDTH + 60, height);
    chart(f, 0, "Coordinator, MB resident, by paused jobs", offsetof(struct point, coordinator_mb));
    chart(f, 1, "hostd, MB resident", offsetof(struct point, host_mb));
    chart(f, 2, "Start of the coordinator, ms", offsetof(struct point, start_ms));
    chart(f, 3, "Answer to completed on another host, p50, ms", offsetof(struct point, w1_ms));
    fprintf(f, "</svg>\n");
    return fclose(f) == 0;
}

static bool write_markdown(const char *path, const char *scale, json_t *about)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        return false;
    print_markdown(f, scale, about);
    return fclose(f) == 0;
}

bool bench_write(const char *dir, const char *scale, const char *only)
{
    char stem[400], path[512];
    snprintf(stem, sizeof(stem), "%s/result%s%s", dir, only != NULL ? "-" : "", only != NULL ? only : "");
    json_t *all = bench_about();
    snprintf(path, sizeof(path), "%s.md", stem);
    bool ok = write_markdown(path, scale, all);
    all = as_json(scale, only, all);
    if (ok) {
        snprintf(path, sizeof(path), "%s.json", stem);
        ok = json_dump_file(all, path, JSON_INDENT(1)) == 0;
    }
    json_decref(all);
    if (ok && n_points > 0) {
        snprintf(path, sizeof(path), "%s.svg", stem);
        ok = write_plot(path);
    }
    if (!ok)
        fprintf(stderr, "bench: %s cannot be written\n", path);
    return ok;
}
