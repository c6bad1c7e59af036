/*
 * How a parse goes: struct parse holds the config being made. For each source, libconfuse reads
 * the cleaned text and calls back for every value, which is checked and stored at once, so that
 * its line is known and what comes later overrides. Two options that nobody can name are in every
 * libconfuse table: one carries the pointer to struct parse; the other's default is parsed when a
 * section is opened, which is how we hear of it. A list's default is a mark: while it is still
 * there, values were added with += and the list was not replaced. Closed sections are thrown away
 * on libconfuse's side, so that a second one of the same title adds to our record.
 */
#include "state/config.h"

#include <assert.h>
#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/nearest.h"
#include "state/config_table.h"
#include "state/config_text.h"
#include "state/config_value.h"

enum { HIDDEN_OPTIONS = 2, FIRST_CAPACITY = 4 };
static const char mark[] = "\001";                    // a byte that no cleaned text has
typedef void *__attribute__((may_alias)) any_pointer; // to records of whatever kind
static const size_t arena_limit_bytes = (size_t)512 << 20;

struct place {
    size_t source; // index in parse.sources
    unsigned line;
};

struct parse {
    const struct config_sources *sources;
    size_t source; // the one that is read now
    struct config *config;
    struct arena scratch;
    struct place *places[CONFIG_SECTIONS]; // where each record was opened first
    size_t section;                        // of the open section; 0: the top level
    void *record;                          // where the open section's values go
    struct span open_listener;             // the first that is not loopback
    struct place open_listener_place;
    struct place ca_place; // where the ca section was opened
    bool has_failed;
    struct error *error;
};

enum { QUOTE_BYTES = 120 };

/* `text` in quotes, escaped and cut for a message; returns `to` (QUOTE_BYTES). */
static const char *quote(char *to, struct span text)
{
    size_t size;

    to[0] = '"';
    log_text(to + 1, QUOTE_BYTES - 2, text);
    size = strlen(to);
    to[size] = '"';
    to[size + 1] = '\0';
    return to;
}

static struct place here(const struct parse *parse, const cfg_t *cfg)
{
    return (struct place){ parse->source, cfg->line > 0 ? (unsigned)cfg->line : 1 };
}

/* Keeps the first error. Always -1, which is what libconfuse wants from a callback. */
__attribute__((format(printf, 3, 4))) static int fail(struct parse *parse, struct place at,
                                                      const char *format, ...)
{
    enum { NAME_BYTES = 200 }; // of a path, its end is what matters
    struct span name = parse->sources->items[at.source].name;
    bool is_long = name.size > NAME_BYTES;
    char reason[280];
    va_list arguments;

    if (parse->has_failed)
        return -1;
    if (is_long)
        name = span_from(name, name.size - NAME_BYTES);
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    error_set(parse->error, ERROR_CONFIG, "%s%.*s:%u: %s", is_long ? "..." : "", SPAN_PRINT(name),
              at.line, reason);
    parse->has_failed = true;
    return -1;
}

static int fail_too_large(struct parse *parse, struct place at)
{
    return fail(parse, at, "the configuration as a whole is too large");
}

/* Room for one more behind `count` items: they move to an array of twice the size when it is
 * full. False past the arena's limit. */
static bool grow(struct arena *arena, any_pointer *items, size_t count, size_t item_size)
{
    bool is_full = count == 0 || (count >= FIRST_CAPACITY && (count & (count - 1)) == 0);
    void *moved;

    if (!is_full)
        return true;
    moved = arena_zalloc(arena, (count == 0 ? FIRST_CAPACITY : 2 * count) * item_size);
    if (!moved)
        return false;
    if (count > 0)
        memcpy(moved, *items, count * item_size);
    *items = moved;
    return true;
}

static bool is_listener(struct span text)
{
    bool is_loopback;

    return config_is_listener(text, &is_loopback);
}

static bool is_policy(struct span text)
{
    const struct config_policy_place *policies = config_policies();

    for (size_t i = 0; i < CONFIG_POLICIES; i++) {
        if (span_equal(text, span_text(policies[i].title)))
            return true;
    }
    return false;
}

static bool is_client(struct span text)
{
    return config_is_block(text) || config_is_user_name(text);
}

static bool (*const text_checks[CONFIG_KINDS])(struct span) = {
    [CONFIG_PLAIN_TEXT] = config_is_plain_text,
    [CONFIG_PATH] = config_is_path,
    [CONFIG_LISTENER] = is_listener,
    [CONFIG_BLOCK] = config_is_block,
    [CONFIG_DESTINATION] = config_is_destination,
    [CONFIG_PORTS] = config_is_ports,
    [CONFIG_WILDCARD] = config_is_wildcard,
    [CONFIG_PARENT] = config_is_parent,
    [CONFIG_PASSWORD] = config_is_password_hash,
    [CONFIG_USER_NAME] = config_is_user_name,
    [CONFIG_POLICY_NAME] = is_policy,
    [CONFIG_CLIENT] = is_client,
};

static int fail_kind(struct parse *parse, struct place at, const struct config_option *option,
                     struct span text)
{
    char quoted[QUOTE_BYTES];

    if (option->kind == CONFIG_PASSWORD) // not for the eyes of whoever reads logs
        return fail(parse, at, "%s is not %s", option->name,
                    config_kind_words(option->kind)->expected);
    return fail(parse, at, "%s: %s is not %s", option->name, quote(quoted, text),
                config_kind_words(option->kind)->expected);
}

static int store_choice(struct parse *parse, struct place at, const struct config_option *option,
                        unsigned *member, struct span text)
{
    char known[200] = "", quoted[QUOTE_BYTES];
    size_t size = 0;

    for (unsigned i = 0; option->choices[i]; i++) {
        if (span_equal_nocase(text, span_text(option->choices[i]))) {
            *member = i;
            return 0;
        }
        size += (size_t)snprintf(known + size, sizeof known - size, "%s%s", i ? ", " : "",
                                 option->choices[i]);
        assert(size < sizeof known);
    }
    return fail(parse, at, "%s: %s is none of %s", option->name, quote(quoted, text), known);
}

static int store_number(struct parse *parse, struct place at, const struct config_option *option,
                        void *member, struct span text)
{
    bool is_duration = option->kind == CONFIG_DURATION;
    char range[CONFIG_RANGE_BYTES], quoted[QUOTE_BYTES];
    uint64_t number;

    if (is_duration ? !config_read_duration(text, &number) : !span_to_u64(text, &number))
        return fail_kind(parse, at, option, text);
    if (number < option->least || number > option->most)
        return fail(parse, at, "%s: %s is out of range (%s)", option->name, quote(quoted, text),
                    config_write_range(option, range));
    if (is_duration)
        *(uint64_t *)member = number;
    else
        *(size_t *)member = (size_t)number;
    return 0;
}

static int store_text(struct parse *parse, struct place at, const struct config_option *option,
                      void *member, struct span text)
{
    struct arena *arena = &parse->config->arena;
    struct span copy;

    if (!text_checks[option->kind](text))
        return fail_kind(parse, at, option, text);
    copy = arena_copy(arena, text);
    if (!copy.at)
        return fail_too_large(parse, at);
    if (option->is_list) {
        struct config_texts *texts = member;

        if (texts->count == CONFIG_LIST_ENTRIES)
            return fail(parse, at, "%s: more than %d entries", option->name, CONFIG_LIST_ENTRIES);
        if (!grow(arena, (any_pointer *)&texts->items, texts->count, sizeof *texts->items))
            return fail_too_large(parse, at);
        texts->items[texts->count++] = copy;
    } else {
        *(struct span *)member = copy;
    }
    if (option->kind == CONFIG_LISTENER) {
        bool is_loopback;

        if (config_is_listener(copy, &is_loopback) && !is_loopback && !parse->open_listener.at) {
            parse->open_listener = copy;
            parse->open_listener_place = at;
        }
    }
    return 0;
}

/* Checks `text` and puts it into `record` where the option belongs. 0 or -1. */
static int store(struct parse *parse, struct place at, const struct config_option *option,
                 void *record, struct span text)
{
    void *member = (char *)record + option->offset;
    bool yes;

    switch (option->kind) {
    case CONFIG_SWITCH:
    case CONFIG_OVERRIDE:
        if (!config_read_switch(text, &yes))
            return fail_kind(parse, at, option, text);
        if (option->kind == CONFIG_SWITCH)
            *(bool *)member = yes;
        else
            *(enum config_switch *)member = yes ? SWITCH_YES : SWITCH_NO;
        return 0;
    case CONFIG_CHOICE:
        return store_choice(parse, at, option, member, text);
    case CONFIG_COUNT:
    case CONFIG_DURATION:
        return store_number(parse, at, option, member, text);
    default:
        return store_text(parse, at, option, member, text);
    }
}

static void store_defaults(struct parse *parse, const struct config_section *section, void *record)
{
    for (size_t i = 0; i < section->option_count; i++) {
        const struct config_option *option = &section->options[i];
        struct span rest = span_text(option->standard);

        while (rest.size > 0) {
            size_t end = option->is_list ? span_find(rest, SPAN(", ")) : rest.size;
            int stored =
                store(parse, (struct place){ 0 }, option, record, span_slice(rest, 0, end));

            assert(stored == 0);
            rest = end == rest.size ? SPAN_NONE : span_from(rest, end + 2);
        }
    }
}

static void empty_list(struct parse *parse, const struct config_option *option, void *record)
{
    struct config_texts *texts = (void *)((char *)record + option->offset);

    *texts = (struct config_texts){ 0 };
    if (option->kind == CONFIG_LISTENER)
        parse->open_listener = SPAN_NONE;
}

/* `list = {}` gives no value to call back for; it shows in libconfuse's count, without the mark. */
static void empty_lists(struct parse *parse, const cfg_t *cfg, void *record)
{
    const struct config_section *section = &config_sections()[parse->section];

    for (size_t i = 0; i < section->option_count; i++) {
        if (section->options[i].is_list && cfg->opts[HIDDEN_OPTIONS + i].nvalues == 0)
            empty_list(parse, &section->options[i], record);
    }
}

static struct parse *parse_of(const cfg_t *cfg)
{
    return *cfg->opts[0].simple_value.ptr;
}

/* libconfuse: a value was read. */
static int take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    struct parse *parse = parse_of(cfg);
    const struct config_option *option;
    void *record;

    *(const char **)result = value;
    if (value[0] == mark[0])
        return 0;
    if (parse->has_failed)
        return -1;
    option = &config_sections()[parse->section].options[opt - cfg->opts - HIDDEN_OPTIONS];
    record = parse->section ? parse->record : parse->config;
    if (option->is_list && opt->nvalues == 1)
        empty_list(parse, option, record);
    return store(parse, here(parse, cfg), option, record, span_text(value));
}

static void *policy_record(struct parse *parse, struct span title)
{
    const struct config_policy_place *policies = config_policies();

    for (size_t i = 0; i < CONFIG_POLICIES; i++) {
        if (span_equal(title, span_text(policies[i].title)))
            return (char *)parse->config + policies[i].offset;
    }
    return NULL;
}

/* The record of that title, made where there is none; NULL after an error. */
static void *titled_record(struct parse *parse, struct place at,
                           const struct config_section *section, struct span title)
{
    size_t index = (size_t)(section - config_sections());
    any_pointer *records = (void *)((char *)parse->config + section->records_offset);
    size_t *count = (void *)((char *)parse->config + section->count_offset);
    struct span *record;

    for (size_t i = 0; i < *count; i++) {
        record = (void *)((char *)*records + i * section->record_size);
        if (span_equal(*record, title))
            return record;
    }
    if (*count == CONFIG_LIST_ENTRIES) {
        fail(parse, at, "more than %d sections of %s", CONFIG_LIST_ENTRIES, section->name);
        return NULL;
    }
    title = arena_copy(&parse->config->arena, title);
    if (!title.at || !grow(&parse->config->arena, records, *count, section->record_size) ||
        !grow(&parse->scratch, (any_pointer *)&parse->places[index], *count,
              sizeof(struct place))) {
        fail_too_large(parse, at);
        return NULL;
    }
    record = (void *)((char *)*records + *count * section->record_size);
    parse->places[index][*count] = at;
    ++*count;
    *record = title;
    store_defaults(parse, section, record);
    return record;
}

/* libconfuse: the default of the hidden option is parsed, so a section was opened. It takes an
 * error here for a bug of ours and aborts; section_closed() or take_value() will tell it. */
static int section_opened(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    struct parse *parse = parse_of(cfg);
    struct span title = span_text(cfg->title);
    const struct config_section *section;
    char quoted[QUOTE_BYTES];

    (void)opt;
    *(const char **)result = value;
    if (parse->has_failed)
        return 0;
    for (size_t i = 1; i < CONFIG_SECTIONS; i++) {
        bool is_titled = config_sections()[i].title_kind != CONFIG_UNTITLED;

        if (strcmp(config_sections()[i].name, cfg->name) == 0 && is_titled == (title.at != NULL))
            parse->section = i;
    }
    section = &config_sections()[parse->section];
    if (parse->section == 0) // the top level itself
        return 0;
    if (section->title_kind == CONFIG_UNTITLED) {
        parse->record = (char *)parse->config + section->records_offset;
        parse->ca_place = here(parse, cfg);
        return 0;
    }
    if (!text_checks[section->title_kind](title)) {
        fail(parse, here(parse, cfg), "%s: %s is not %s", section->name, quote(quoted, title),
             config_kind_words(section->title_kind)->expected);
        return 0;
    }
    if (section->title_kind == CONFIG_POLICY_NAME)
        parse->record = policy_record(parse, title);
    else
        parse->record = titled_record(parse, here(parse, cfg), section, title);
    return 0;
}

/* libconfuse: the validate callback of a section. */
static int section_closed(cfg_t *cfg, cfg_opt_t *opt)
{
    struct parse *parse = parse_of(cfg);

    if (!parse->has_failed)
        empty_lists(parse, cfg_opt_getnsec(opt, 0), parse->record);
    while (cfg_opt_size(opt) > 0)
        cfg_opt_rmnsec(opt, 0);
    parse->section = 0;
    parse->record = NULL;
    return parse->has_failed ? -1 : 0;
}

static void fail_unknown(struct parse *parse, const cfg_t *cfg, const char *name)
{
    const struct config_section *sections = config_sections();
    struct nearest nearest;
    char quoted[QUOTE_BYTES];

    quote(quoted, span_text(name));
    nearest_init(&nearest, span_text(name));
    for (size_t i = HIDDEN_OPTIONS; cfg->opts[i].name; i++)
        nearest_offer(&nearest, cfg->opts[i].name);
    if (nearest.name) {
        fail(parse, here(parse, cfg), "unknown option %s; did you mean \"%s\"?", quoted,
             nearest.name);
        return;
    }
    for (size_t i = 0; i < CONFIG_SECTIONS; i++) {
        for (size_t j = 0; j < sections[i].option_count; j++) {
            if (strcmp(name, sections[i].options[j].name) != 0)
                continue;
            if (i == 0)
                fail(parse, here(parse, cfg), "option %s stands outside of sections", quoted);
            else if (!sections[i].title_words)
                fail(parse, here(parse, cfg), "option %s belongs inside a section: %s {...}",
                     quoted, sections[i].name);
            else
                fail(parse, here(parse, cfg), "option %s belongs inside a section: %s \"%s\" {...}",
                     quoted, sections[i].name, sections[i].title_words);
            return;
        }
    }
    fail(parse, here(parse, cfg), "unknown option %s", quoted);
}

/* libconfuse: it found an error. Its words are changed where ours say more. */
static void take_error(cfg_t *cfg, const char *format, va_list arguments)
{
    struct parse *parse = parse_of(cfg);
    char words[200], quoted[QUOTE_BYTES];

    if (strcmp(format, "no such option '%s'") == 0) {
        fail_unknown(parse, cfg, va_arg(arguments, const char *));
    } else if (strcmp(format, "unexpected token '%s'") == 0) {
        fail(parse, here(parse, cfg), "%s does not belong here",
             quote(quoted, span_text(va_arg(arguments, const char *))));
    } else {
        vsnprintf(words, sizeof words, format, arguments);
        for (char *c = words; *c; c++) {
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = '?';
        }
        fail(parse, here(parse, cfg), "%s", words);
    }
}

/* libconfuse's table for one of our sections, ended by zeros; `more` entries are left free before
 * the end. */
static cfg_opt_t *make_table(struct parse *parse, void **context,
                             const struct config_section *section, size_t more)
{
    size_t count = HIDDEN_OPTIONS + section->option_count;
    cfg_opt_t *table = arena_zalloc(&parse->scratch, (count + more + 1) * sizeof *table);

    assert(table);
    table[0] = (cfg_opt_t){ .name = "\001parse", .type = CFGT_PTR };
    table[0].simple_value.ptr = context;
    table[1] = (cfg_opt_t){ .name = "\001opened", .type = CFGT_STR, .parsecb = section_opened };
    table[1].def.parsed = (char *)mark; // libconfuse makes a copy
    for (size_t i = HIDDEN_OPTIONS; i < count; i++) {
        const struct config_option *option = &section->options[i - HIDDEN_OPTIONS];

        table[i] = (cfg_opt_t){ .name = option->name, .type = CFGT_STR, .parsecb = take_value };
        if (option->is_list) {
            table[i].flags = CFGF_LIST;
            table[i].def.parsed = "{\"\001\"}";
        } else {
            table[i].flags = CFGF_NODEFAULT;
        }
    }
    return table;
}

static cfg_t *make_reader(struct parse *parse, void **context)
{
    const struct config_section *sections = config_sections();
    cfg_opt_t *top = make_table(parse, context, &sections[0], CONFIG_SECTIONS - 1);
    cfg_opt_t *next = top + HIDDEN_OPTIONS + sections[0].option_count;
    cfg_t *cfg;

    for (size_t i = 1; i < CONFIG_SECTIONS; i++, next++) {
        *next =
            (cfg_opt_t){ .name = sections[i].name,
                         .type = CFGT_SEC,
                         .flags = sections[i].title_words ? CFGF_MULTI | CFGF_TITLE : CFGF_MULTI,
                         .validcb = section_closed };
        next->subopts = make_table(parse, context, &sections[i], 0);
    }
    cfg = cfg_init(top, CFGF_NONE);
    if (!cfg)
        abort(); // out of memory
    cfg_set_error_function(cfg, take_error);
    return cfg;
}

static void parse_source(struct parse *parse)
{
    const struct config_source *source = &parse->sources->items[parse->source];
    struct place top = { parse->source, 1 };
    void *context = parse;
    struct config_fault fault;
    char *text;
    cfg_t *cfg;

    if (source->text.size > CONFIG_SOURCE_BYTES) {
        fail(parse, top, "larger than %d bytes", CONFIG_SOURCE_BYTES);
        return;
    }
    text = malloc(source->text.size + 1);
    if (!text)
        abort();
    if (config_text_clean(source->text, text, &fault)) {
        parse->section = 0;
        cfg = make_reader(parse, &context);
        if (cfg_parse_buf(cfg, text) != CFG_SUCCESS)
            fail(parse, here(parse, cfg), "this is not the syntax of a config file");
        if (!parse->has_failed)
            empty_lists(parse, cfg, parse->config);
        cfg_free(cfg);
    } else {
        fail(parse, (struct place){ parse->source, fault.line }, "%s", fault.reason);
    }
    free(text);
}

static void check_record(struct parse *parse, const struct config_section *section, size_t index,
                         const void *record)
{
    char quoted[QUOTE_BYTES];

    for (size_t i = 0; i < section->option_count; i++) {
        const struct config_option *option = &section->options[i];
        const struct span *member = (const void *)((const char *)record + option->offset);

        if (option->is_required && !member->at)
            fail(parse, parse->places[section - config_sections()][index],
                 "%s %s needs the option %s", section->name,
                 quote(quoted, *(const struct span *)record), option->name);
    }
}

/* What no option can check by itself. */
static void check_whole(struct parse *parse)
{
    const struct config *config = parse->config;

    for (size_t i = 1; i < CONFIG_SECTIONS; i++) {
        const struct config_section *section = &config_sections()[i];
        const any_pointer *records = (const void *)((const char *)config + section->records_offset);
        const size_t *count = (const void *)((const char *)config + section->count_offset);

        if (section->title_kind == CONFIG_POLICY_NAME || // three, always there
            section->title_kind == CONFIG_UNTITLED)
            continue;
        for (size_t r = 0; r < *count; r++)
            check_record(parse, section, r, (const char *)*records + r * section->record_size);
    }
    if (parse->open_listener.at && config->allow.count == 0 && config->user_count == 0)
        fail(parse, parse->open_listener_place,
             "%.*s is not loopback, and anybody could use it: add "
             "allow = {\"192.168.0.0/16\"} with your clients' addresses, or a user section",
             SPAN_PRINT(parse->open_listener));
    if ((config->ca.certificate.size > 0) != (config->ca.key.size > 0))
        fail(parse, parse->ca_place, "ca needs both options, certificate and key");
}

enum error_kind config_parse(struct config **out, const struct config_sources *sources,
                             struct error *error)
{
    struct parse parse = { .sources = sources, .error = error };

    parse.config = calloc(1, sizeof *parse.config);
    if (!parse.config)
        abort();
    parse.config->references = 1;
    arena_init(&parse.config->arena, arena_limit_bytes);
    arena_init(&parse.scratch, arena_limit_bytes);
    store_defaults(&parse, &config_sections()[0], parse.config);
    for (size_t i = 0; i < sources->count && !parse.has_failed; i++) {
        parse.source = i;
        parse_source(&parse);
    }
    if (!parse.has_failed)
        check_whole(&parse);
    arena_done(&parse.scratch);
    if (parse.has_failed) {
        config_unref(&parse.config);
        return ERROR_CONFIG;
    }
    *out = parse.config;
    return ERROR_NONE;
}

void config_ref(struct config *config)
{
    config->references++;
}

void config_unref(struct config **config)
{
    struct config *ended = *config;

    *config = NULL;
    if (!ended || --ended->references > 0)
        return;
    arena_done(&ended->arena);
    free(ended);
}
