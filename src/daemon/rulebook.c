#include "daemon/rulebook.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { INCLUDE_BYTES = 255 }; // of a name

struct text { // of one file, in a list of all
    struct text *next;
    struct buffer bytes;
};

struct rulebook {
    struct compiler *compiler;
    struct text *texts;
    rulebook_problem *on_problem;
    void *owner;
    void (*tell_include)(void *owner, const char *path); // NULL: nobody wants to know
    void *include_owner;
    // while a list is read
    const char *file;
    const char *path; // NULL: it is no file, and includes nothing
    struct list_summary *summary;
};

struct rulebook *rulebook_new(rulebook_problem *on_problem, void *owner)
{
    struct rulebook *rulebook = calloc(1, sizeof *rulebook);

    if (!rulebook)
        abort();
    rulebook->compiler = compiler_new();
    rulebook->on_problem = on_problem;
    rulebook->owner = owner;
    return rulebook;
}

void rulebook_free(struct rulebook **rulebook)
{
    struct rulebook *it = *rulebook;

    if (!it)
        return;
    compiler_free(&it->compiler);
    while (it->texts) {
        struct text *next = it->texts->next;
        buffer_release(&it->texts->bytes);
        free(it->texts);
        it->texts = next;
    }
    free(it);
    *rulebook = NULL;
}

void rulebook_on_include(struct rulebook *rulebook, void (*tell)(void *owner, const char *path),
                         void *owner)
{
    rulebook->tell_include = tell;
    rulebook->include_owner = owner;
}

/* Reads a plain or gzip file. */
static enum error_kind read_file(struct rulebook *rulebook, const char *file, struct span *out,
                                 struct error *error)
{
    struct text *text = calloc(1, sizeof *text);
    enum error_kind kind = ERROR_NONE;
    gzFile input = NULL;
    int fd, got = 0;

    if (!text)
        abort();
    text->bytes.limit_bytes = LIST_TEXT_LIMIT + 1;
    text->next = rulebook->texts;
    rulebook->texts = text;
    fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot read %s", file);
    input = gzdopen(fd, "rb");
    if (!input) {
        close(fd);
        return error_set(error, ERROR_SYSTEM, "cannot read %s", file);
    }
    gzbuffer(input, 1u << 17);
    do {
        size_t room = text->bytes.size < (1u << 20) ? 1u << 20 : text->bytes.size;
        if (room > text->bytes.limit_bytes - text->bytes.size)
            room = text->bytes.limit_bytes - text->bytes.size;
        if (room == 0) {
            kind =
                error_set(error, ERROR_LIMIT, "%s has more than %u bytes", file, LIST_TEXT_LIMIT);
            break;
        }
        buffer_reserve(&text->bytes, room);
        got = gzread(input, text->bytes.at + text->bytes.size, (unsigned)room);
        if (got > 0)
            text->bytes.size += (size_t)got;
    } while (got > 0);
    if (got < 0)
        kind = error_set(error, ERROR_CORRUPT, "%s is damaged", file);
    if (gzclose(input) == Z_BUF_ERROR && kind == ERROR_NONE)
        kind = error_set(error, ERROR_CORRUPT, "%s is cut short", file);
    *out = buffer_span(&text->bytes);
    return kind;
}

enum error_kind rulebook_add_suffixes(struct rulebook *rulebook, const char *file,
                                      struct error *error)
{
    struct span text;
    enum error_kind kind = read_file(rulebook, file ? file : RULEBOOK_SUFFIXES, &text, error);

    if (kind == ERROR_NONE)
        compiler_add_suffixes(rulebook->compiler, text);
    return kind;
}

void rulebook_add_suffixes_text(struct rulebook *rulebook, struct span text)
{
    compiler_add_suffixes(rulebook->compiler, text);
}

static void on_problem(void *owner, struct span text, enum rule_reason reason, uint32_t line)
{
    struct rulebook *rulebook = owner;

    if (rulebook->on_problem)
        rulebook->on_problem(rulebook->owner, rulebook->file, line, text, reason);
}

static void on_rule(void *owner, const struct rule *rule, uint32_t line)
{
    struct rulebook *rulebook = owner;
    struct list_summary *summary = rulebook->summary;
    enum rule_reason reason = compiler_add(rulebook->compiler, rule, line);

    if (reason == REASON_NONE)
        return;
    if (reason == REASON_PART) { // a rule all the same
        summary->by_reason[reason]++;
        on_problem(owner, rule->text, reason, line);
        return;
    }
    if (rule->kind == RULE_HOSTS)
        summary->hosts--;
    else if (rule->kind == RULE_COSMETIC)
        summary->cosmetic--;
    else
        summary->network--;
    summary->by_reason[reason]++;
    *(rule_reason_is_idle(reason) ? &summary->idle : &summary->bad) += 1;
    on_problem(owner, rule->text, reason, line);
}

/* A file beside the list or below: no path that leads elsewhere, and no other kind of file. */
static bool may_include(struct span name)
{
    if (name.size == 0 || name.size > INCLUDE_BYTES || name.at[0] == '/' ||
        !span_ends(name, SPAN(".txt")))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!((name.at[i] >= 'a' && name.at[i] <= 'z') ||
              (name.at[i] >= 'A' && name.at[i] <= 'Z') ||
              (name.at[i] >= '0' && name.at[i] <= '9') || memchr("-_./+", name.at[i], 5)))
            return false;
    return name.at[0] != '.' && span_find(name, SPAN("/.")) == name.size;
}

static bool on_include(void *owner, struct span name, struct span *text)
{
    struct rulebook *rulebook = owner;
    struct span folder = span_text(rulebook->path);
    char path[PATH_MAX];
    struct error error;
    int size;

    if (!folder.at || !may_include(name))
        return false;
    while (folder.size && folder.at[folder.size - 1] != '/')
        folder.size--;
    size = snprintf(path, sizeof path, "%.*s%.*s", SPAN_PRINT(folder), SPAN_PRINT(name));
    if (size < 0 || (size_t)size >= sizeof path)
        return false;
    if (rulebook->tell_include)
        rulebook->tell_include(rulebook->include_owner, path);
    return read_file(rulebook, path, text, &error) == ERROR_NONE;
}

/* What a server sends in place of a list that it has no more. */
static bool is_web_page(struct span text)
{
    while (text.size > 0 && (unsigned char)text.at[0] <= ' ')
        text = span_from(text, 1);
    return span_starts_nocase(text, SPAN("<!doctype html")) ||
           span_starts_nocase(text, SPAN("<html"));
}

enum error_kind rulebook_add_text(struct rulebook *rulebook, struct span text, const char *name,
                                  bool is_trusted, struct list_summary *summary,
                                  struct error *error)
{
    struct list_reader reader = { .is_trusted = is_trusted,
                                  .on_rule = on_rule,
                                  .on_problem = on_problem,
                                  .on_include = on_include,
                                  .owner = rulebook };

    if (!compiler_begin_list(rulebook->compiler, span_text(name)))
        return error_set(error, ERROR_LIMIT, "too many lists");
    rulebook->file = name;
    rulebook->summary = summary;
    if (!list_read(summary, &reader, text))
        return error_set(error, ERROR_LIMIT, "%s is too long", name);
    return ERROR_NONE;
}

enum error_kind rulebook_add(struct rulebook *rulebook, const char *file, const char *name,
                             bool is_trusted, struct list_summary *summary, struct error *error)
{
    struct span text;
    enum error_kind kind = read_file(rulebook, file, &text, error);

    if (kind != ERROR_NONE)
        return kind;
    if (is_web_page(text))
        return error_set(error, ERROR_CORRUPT, "%s is a web page", file);
    rulebook->path = file;
    kind = rulebook_add_text(rulebook, text, name ? name : file, is_trusted, summary, error);
    rulebook->path = NULL;
    return kind;
}

enum error_kind rulebook_compile(struct rulebook *rulebook, struct span *image,
                                 struct compile_counts *counts, struct error *error)
{
    return compiler_finish(rulebook->compiler, image, counts, error);
}
