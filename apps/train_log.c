#include "apps/train_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/plot.h"
#include "lib/mem.h"
#include "nn/model/weights.h"

#define HEADER "epoch,rate,loss,train_accuracy,validation_accuracy,images_per_second,seconds\n"
#define FILE_MAX (4u << 20)
#define ROW_MAX 160

static int keep(train_log *log, const train_row *row)
{
    while (log->count > 0 && log->rows[log->count - 1].epoch >= row->epoch) {
        log->count--;
    }
    if (log->count == log->cap) {
        const size_t cap = log->cap == 0 ? 64 : 2 * log->cap;
        train_row *rows = sotto_calloc(cap, sizeof *rows);
        if (rows == NULL) {
            return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the log of the training");
        }
        if (log->count > 0) {
            memcpy(rows, log->rows, log->count * sizeof *rows);
        }
        sotto_free(log->rows);
        log->rows = rows;
        log->cap = cap;
    }
    log->rows[log->count++] = *row;
    return SOTTO_OK;
}

static int parse(train_log *log, const char *text)
{
    unsigned line = 1;
    if (strncmp(text, HEADER, sizeof HEADER - 1) != 0) {
        return sotto_fail(SOTTO_ERR_FORMAT, "%s: line 1 is not %.*s; give the log of this training or another name", log->path, (int)sizeof HEADER - 2, HEADER);
    }
    for (const char *p = text + sizeof HEADER - 1; *p != '\0'; p += strcspn(p, "\n") + 1) {
        train_row r = {.validation = -1.0};
        char validation[32] = "";
        line++;
        if (sscanf(p, "%u,%lf,%lf,%lf,%31[0-9.],%lf,%lf", &r.epoch, &r.rate, &r.loss, &r.accuracy, validation, &r.images_per_second, &r.seconds) == 7) {
            r.validation = strtod(validation, NULL);
        } else if (sscanf(p, "%u,%lf,%lf,%lf,,%lf,%lf", &r.epoch, &r.rate, &r.loss, &r.accuracy, &r.images_per_second, &r.seconds) != 6) {
            return sotto_fail(SOTTO_ERR_FORMAT, "%s: line %u is no row of a training's log; give the log of this training or another name", log->path, line);
        }
        const int status = keep(log, &r);
        if (status != SOTTO_OK) {
            return status;
        }
        if (strchr(p, '\n') == NULL) {
            break;
        }
    }
    return SOTTO_OK;
}

int train_log_open(train_log *log, const char *path, int resume)
{
    uint8_t *text = NULL;
    size_t len = 0;
    *log = (train_log){.path = path};
    if (path == NULL || !resume || access(path, F_OK) != 0) {
        return SOTTO_OK;
    }
    int status = sotto_file_read(path, FILE_MAX, &text, &len);
    if (status == SOTTO_OK) {
        status = parse(log, (const char *)text);
    }
    sotto_free(text);
    return status;
}

int train_log_add(train_log *log, const train_row *row)
{
    int status = keep(log, row);
    if (status != SOTTO_OK || log->path == NULL) {
        return status;
    }
    const size_t cap = sizeof HEADER + log->count * ROW_MAX;
    char *text = sotto_calloc(cap, 1);
    if (text == NULL) {
        return sotto_fail(SOTTO_ERR_MEMORY, "no memory for the log of the training");
    }
    size_t at = (size_t)snprintf(text, cap, "%s", HEADER);
    for (size_t i = 0; i < log->count; i++) {
        const train_row *r = &log->rows[i];
        char validation[32] = "";
        if (r->validation >= 0.0) {
            snprintf(validation, sizeof validation, "%.6f", r->validation);
        }
        at += (size_t)snprintf(text + at, cap - at, "%u,%.8g,%.6f,%.6f,%s,%.1f,%.1f\n", r->epoch, r->rate, r->loss, r->accuracy, validation, r->images_per_second,
                               r->seconds);
    }
    status = sotto_file_write(log->path, text, at, 0644);
    sotto_free(text);
    return status;
}

static void script(FILE *out, const void *ctx)
{
    const train_log *log = ctx;
    int validated = 0;
    fputs("$data << end_of_data\n", out);
    for (size_t i = 0; i < log->count; i++) {
        const train_row *r = &log->rows[i];
        fprintf(out, "%u %.8g %.6f %.4f ", r->epoch, r->rate, r->loss, 100.0 * r->accuracy);
        fprintf(out, r->validation < 0.0 ? "NaN\n" : "%.4f\n", 100.0 * r->validation);
        validated |= r->validation >= 0.0;
    }
    fputs("end_of_data\nset terminal svg size 900,700 background rgb 'white'\nset grid\nset multiplot layout 3,1\nset ylabel 'accuracy, %'\nset key bottom right\nplot $data using 1:4 with lines lw 2 title 'training images'", out);
    fputs(validated ? ", $data using 1:5 with linespoints pt 7 ps 0.4 title 'images held out'\n" : "\n", out);
    fputs("set key top right\nset ylabel 'loss'\nplot $data using 1:3 with lines lw 2 title 'training loss'\n"
          "set ylabel 'learning rate'\nset xlabel 'epoch'\nplot $data using 1:2 with lines lw 2 notitle\nunset multiplot\n", out);
}

int train_log_plot(const train_log *log, const char *svg_path)
{
    if (log->count == 0) {
        return sotto_fail(SOTTO_ERR_ARG, "no whole epoch, nothing to plot");
    }
    return plot_run(svg_path, script, log);
}

void train_log_free(train_log *log)
{
    sotto_free(log->rows);
    *log = (train_log){0};
}
