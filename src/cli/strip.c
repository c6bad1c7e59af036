/*
 * strip.c - `dejunk strip`: what the proxy does to a page, done to a file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/say.h"
#include "cli/strip_rules.h"
#include "html/rewrite.h"

enum { READ_BYTES = 65536, RANDOM_CHUNK_BYTES = 2048 };

struct strip {
    const char *selectors, *chunk;
    bool hollows;
    struct strip_rules_options how; // by lists, not by selectors
    struct strip_rules *rules;
    struct selector_set *set;
    struct rewrite *rewrite;
    uint64_t random;
};

static void on_output(void *owner, struct span bytes)
{
    (void)owner;
    (void)!fwrite(bytes.at, 1, bytes.size, stdout); // say_finish() tells
}

static enum rewrite_action on_element(void *owner, const struct rewrite_element *element)
{
    const struct strip *strip = owner;

    if (element->match_count == 0)
        return REWRITE_KEEP;
    return strip->hollows ? REWRITE_HOLLOW : REWRITE_REMOVE;
}

static const struct rewrite_events events = {
    .on_output = on_output,
    .on_element = on_element,
};

static int read_selectors(struct strip *strip)
{
    FILE *file = fopen(strip->selectors, "re");
    char *line = NULL;
    size_t room = 0;
    ssize_t size;

    if (!file) {
        say_error("cannot read %s: %s", strip->selectors, strerror(errno));
        return EX_NOINPUT;
    }
    for (uint32_t number = 1; (size = getline(&line, &room, file)) >= 0; number++) {
        struct span text = span_of(line, (size_t)size);
        struct error error;

        while (text.size && (text.at[text.size - 1] == '\n' || text.at[text.size - 1] == '\r'))
            text.size--;
        text = span_trim(text);
        if (text.size == 0 || text.at[0] == '!')
            continue;
        switch (selector_set_add(strip->set, text, number, &error)) {
        case SELECTOR_STREAMED:
            break;
        case SELECTOR_FOR_PAGE:
        case SELECTOR_PROCEDURAL:
            say_warning("%s:%u: not known while the page streams", strip->selectors, number);
            break;
        case SELECTOR_INVALID:
            say_warning("%s:%u: %s", strip->selectors, number, error.text);
            break;
        }
    }
    free(line);
    fclose(file);
    return EX_OK;
}

static size_t next_chunk(struct strip *strip, size_t left)
{
    uint64_t size;

    if (strncmp(strip->chunk, "random", 6) == 0) {
        strip->random = strip->random * 6364136223846793005 + 1442695040888963407;
        size = (strip->random >> 33) % RANDOM_CHUNK_BYTES + 1;
    } else {
        (void)span_to_u64(span_text(strip->chunk), &size);
    }
    return size < left ? (size_t)size : left;
}

static bool chunk_is_good(struct strip *strip)
{
    uint64_t size;

    if (strcmp(strip->chunk, "random") == 0)
        return true;
    if (strncmp(strip->chunk, "random:", 7) == 0)
        return span_to_u64(span_text(strip->chunk + 7), &strip->random);
    return span_to_u64(span_text(strip->chunk), &size) && size > 0;
}

static int strip_input(struct strip *strip)
{
    static char bytes[READ_BYTES];
    ssize_t size;

    while ((size = read(STDIN_FILENO, bytes, sizeof bytes)) != 0) {
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0) {
            say_error("cannot read standard input: %s", strerror(errno));
            return EX_IOERR;
        }
        for (size_t at = 0, chunk; at < (size_t)size; at += chunk) {
            chunk = next_chunk(strip, (size_t)size - at);
            if (strip->rules)
                strip_rules_feed(strip->rules, span_of(bytes + at, chunk));
            else
                rewrite_feed(strip->rewrite, span_of(bytes + at, chunk));
        }
    }
    if (strip->rules)
        strip_rules_finish(strip->rules);
    else
        rewrite_finish(strip->rewrite);
    return say_finish();
}

static int strip_by_rules(struct strip *strip)
{
    int code;

    strip->rules = strip_rules_new(&strip->how, &code);
    if (strip->rules)
        code = strip_input(strip);
    strip_rules_free(&strip->rules);
    rule_source_close(&strip->how.source);
    return code;
}

static int strip_by_selectors(struct strip *strip)
{
    struct rewrite_options how = { .hollow = SPAN(" hidden"), .set_count = 1 };
    const struct selector_set *sets[1];
    int code;

    strip->set = selector_set_new();
    code = read_selectors(strip);
    if (code == EX_OK) {
        selector_set_finish(strip->set);
        sets[0] = strip->set;
        how.sets = sets;
        strip->rewrite = rewrite_new(&how, &events, strip);
        code = strip_input(strip);
        rewrite_free(&strip->rewrite);
    }
    selector_set_free(&strip->set);
    return code;
}

static void take_option(struct strip *strip, int letter, const char *value)
{
    if (rule_source_take(&strip->how.source, letter, value))
        return;
    switch (letter) {
    case 's':
        strip->selectors = value;
        break;
    case 'k':
        strip->chunk = value;
        break;
    case 'o':
        strip->hollows = true;
        break;
    case 'u':
        strip->how.url = value;
        break;
    case 'w':
        strip->how.says_why = true;
        break;
    case 'm':
        strip->how.mode = value;
        break;
    case 'b':
        strip->how.keeps_blocked = true;
        break;
    }
}

static int run(struct options *options)
{
    struct strip strip = { .chunk = "65536", .random = 1 };
    int letter;

    while ((letter = options_next(options)) > 0)
        take_option(&strip, letter, options->value);
    if (letter == OPTIONS_END_NOW || !options_count(options, 0, 0))
        return options->exit_code;
    if (!chunk_is_good(&strip)) {
        say_error("strip: --chunk takes a number of bytes, or random:SEED");
        return EX_USAGE;
    }
    return strip.selectors ? strip_by_selectors(&strip) : strip_by_rules(&strip);
}

static const struct option_row rows[] = {
    { 'u', "url", "URL", "of the page" },
    { 'w', "why", NULL, "say on standard error what was changed, by which rule, list and line" },
    { 'm', "mode", "MODE", "hide, hollow or remove what rules want hidden" },
    { 'b', "keep-blocked", NULL, "keep elements that would load what is blocked" },
    { 's', "selectors", "FILE", "remove what these CSS selectors match, one a line" },
    { 'k', "chunk", "N", "feed the page N bytes at a time, or random:SEED" },
    { 'o', "hollow", NULL, "with --selectors: empty and hide the elements" },
    RULE_SOURCE_ROWS,
    { 0 },
};

const struct command command_strip = {
    .name = "strip",
    .help = "strip a page on standard input, as the proxy would",
    .about = "Reads a page and writes it without what rules name, or without the elements that\n"
             "plain selectors match. Every other byte is copied as it is. Without --list,\n"
             "--trusted, --database or --selectors the lists, rules and `strip` settings of the\n"
             "configuration hold. What asks for rules of later elements is not put in.",
    .options = rows,
    .run = run,
};
