/* Results: a table for people, JSON for machines, a plot of W4. See bench.h. */
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
    double jobs, coordinator_mb, host_mb, start_ms, w1_ms;
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
    r->more_is_better = strstr(unit, "/s") != NULL;
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

void bench_point(double jobs, double coordinator_mb, double host_mb, double start_ms, double w1_ms)
{
    if (n_points == MAX_POINTS)
        abort();
    points[n_points++] = (struct point){jobs, coordinator_mb, host_mb, start_ms, w1_ms};
}

static bool met(const struct bench_result *r)
{
    return r->more_is_better ? r->value >= r->goal : r->value <= r->goal;
}

static const char *number(double v, char *out, size_t n)
{
    snprintf(out, n, v != 0 && fabs(v) < 10 ? "%.2f" : fabs(v) < 1000 ? "%.1f" : "%.0f", v);
    return out;
}

void bench_print(void)
{
    char value[32], goal[32];
    printf("%-5s %-58s %12s %-8s %-14s %s\n", "", "", "measured", "", "goal", "");
    for (size_t i = 0; i < n_results; i++) {
        const struct bench_result *r = &results[i];
        printf("%-5s %-58s %12s %-8s ", r->work, r->name, number(r->value, value, sizeof(value)), r->unit);
        if (r->goal > 0)
            printf("%s %-8s %-3s", r->more_is_better ? ">=" : "<=", number(r->goal, goal, sizeof(goal)),
                   met(r) ? "met" : "no");
        else
            printf("%-15s", "");
        if (r->ratio_of[0] != '\0')
            printf(" %s %s", number(r->ratio, value, sizeof(value)), r->ratio_of);
        printf("\n");
    }
}

static json_t *as_json(const char *scale)
{
    json_t *all = json_object(), *list = json_array(), *w4 = json_array();
    json_object_set_new(all, "scale", json_string(scale));
    for (size_t i = 0; i < n_results; i++) {
        const struct bench_result *r = &results[i];
        json_t *j = json_pack("{s:s,s:s,s:f,s:s}", "workload", r->work, "name", r->name, "value", r->value,
                              "unit", r->unit);
        if (r->goal > 0) {
            json_object_set_new(j, r->more_is_better ? "at_least" : "at_most", json_real(r->goal));
            json_object_set_new(j, "met", json_boolean(met(r)));
        }
        if (r->ratio_of[0] != '\0') {
            json_object_set_new(j, "ratio", json_real(r->ratio));
            json_object_set_new(j, "ratio_of", json_string(r->ratio_of));
        }
        json_array_append_new(list, j);
    }
    for (size_t i = 0; i < n_points; i++)
        json_array_append_new(w4, json_pack("{s:f,s:f,s:f,s:f,s:f}", "paused_jobs", points[i].jobs,
                                            "coordinator_mb", points[i].coordinator_mb, "hostd_mb",
                                            points[i].host_mb, "start_ms", points[i].start_ms, "w1_ms",
                                            points[i].w1_ms));
    json_object_set_new(all, "results", list);
    json_object_set_new(all, "w4", w4);
    return all;
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

bool bench_write(const char *dir, const char *scale)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/result.json", dir);
    json_t *all = as_json(scale);
    bool ok = json_dump_file(all, path, JSON_INDENT(1)) == 0;
    json_decref(all);
    if (ok && n_points > 0) {
        snprintf(path, sizeof(path), "%s/w4.svg", dir);
        ok = write_plot(path);
    }
    if (!ok)
        fprintf(stderr, "bench: %s cannot be written\n", path);
    return ok;
}
