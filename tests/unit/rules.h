/* rules.h - a rule database from text, for tests. */
#ifndef DEJUNK_TESTS_RULES_H
#define DEJUNK_TESTS_RULES_H

#include <assert.h>

#include "filter/compile.h"
#include "filter/match.h"

struct rules {
    struct compiler *compiler; // the image lives in it
    struct database *database;
    struct matcher *matcher;
    struct compile_counts counts;
    struct span image;
    unsigned refused; // lines that the compiler would not have
};

#define RULES_SUFFIXES "com\nexample\nuk\nco.uk\n*.ck\n!www.ck\ngithub.io\n"

static inline void rules_take(void *owner, const struct rule *rule, uint32_t line)
{
    struct rules *rules = owner;

    if (compiler_add(rules->compiler, rule, line) != REASON_NONE)
        rules->refused++;
}

/* Each text is a list, called "1", "2" ...; NULL ends them. */
static inline void rules_open_lists(struct rules *rules, const char *const *texts, bool is_trusted)
{
    static const char *const names[] = { "1", "2", "3", "4" };
    struct list_reader reader = { .is_trusted = is_trusted, .on_rule = rules_take, .owner = rules };
    struct list_summary summary;

    *rules = (struct rules){ .compiler = compiler_new() };
    compiler_add_suffixes(rules->compiler, SPAN(RULES_SUFFIXES));
    for (size_t i = 0; texts[i]; i++) {
        assert(compiler_begin_list(rules->compiler, span_text(names[i])));
        assert(list_read(&summary, &reader, span_text(texts[i])));
    }
    assert(compiler_finish(rules->compiler, &rules->image, &rules->counts, NULL) == ERROR_NONE);
    assert(database_open(&rules->database, rules->image, NULL) == ERROR_NONE);
    rules->matcher = matcher_new(rules->database);
}

static inline void rules_open(struct rules *rules, const char *text)
{
    rules_open_lists(rules, (const char *const[]){ text, NULL }, true);
}

static inline void rules_close(struct rules *rules)
{
    matcher_free(&rules->matcher);
    database_unref(&rules->database);
    compiler_free(&rules->compiler);
}

#endif
