#include "admin/lists.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/keep.h"

enum { COLUMNS = 8 }; // name, file, trust, lines, rules, cosmetic, idle, bad

static bool split(struct span line, struct span columns[COLUMNS])
{
    for (size_t i = 0; i < COLUMNS; i++) {
        size_t tab = span_find_byte(line, '\t');

        if ((tab == line.size) != (i == COLUMNS - 1))
            return false;
        columns[i] = span_slice(line, 0, tab);
        line = span_from(line, tab == line.size ? tab : tab + 1);
    }
    return true;
}

static uint64_t changed_ms(struct span file)
{
    char path[PATH_MAX];
    struct stat about;

    if (file.size >= sizeof path)
        return 0;
    memcpy(path, file.at, file.size);
    path[file.size] = '\0';
    return stat(path, &about) == 0 ? (uint64_t)about.st_mtim.tv_sec * 1000 : 0;
}

static void parse_line(struct lists *out, struct span line, bool looks_at_files)
{
    struct list_figures *list = &out->items[out->count];
    struct span columns[COLUMNS];
    uint64_t *const numbers[] = { &list->lines, &list->rules, &list->cosmetic, &list->unsupported,
                                  &list->bad };

    if (out->count == LISTS_MOST || span_starts(line, SPAN("#")) || !split(line, columns) ||
        columns[0].size == 0 || columns[0].size >= LISTS_NAME_BYTES)
        return;
    *list = (struct list_figures){ 0 };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!span_to_u64(columns[3 + i], numbers[i]) || *numbers[i] > UINT32_MAX)
            return;
    for (size_t i = 0; i < columns[0].size; i++) {
        unsigned char c = (unsigned char)columns[0].at[i];
        list->name[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    if (looks_at_files)
        list->changed_ms = changed_ms(columns[1]);
    out->rules += list->rules;
    out->count++;
}

static void parse(struct lists *out, struct span report, bool looks_at_files)
{
    *out = (struct lists){ .count = 0 };
    while (report.size > 0) {
        size_t end = span_find_byte(report, '\n');

        parse_line(out, span_slice(report, 0, end), looks_at_files);
        report = span_from(report, end < report.size ? end + 1 : end);
    }
}

void lists_parse(struct lists *out, struct span report)
{
    parse(out, report, false);
}

void lists_read(struct lists *out, const char *state_dir)
{
    struct buffer report = { .limit_bytes = LISTS_REPORT_BYTES };
    char path[PATH_MAX];
    struct stat about;
    int size = snprintf(path, sizeof path, "%s/rules.txt", state_dir);

    *out = (struct lists){ .count = 0 };
    if (size < 0 || (size_t)size >= sizeof path || stat(path, &about) < 0)
        return;
    if (keep_read(path, &report, NULL) == ERROR_NONE) {
        parse(out, buffer_span(&report), true);
        out->compiled_ms = (uint64_t)about.st_mtim.tv_sec * 1000;
    }
    buffer_release(&report);
}
