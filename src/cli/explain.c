/*
 * explain.c - `dejunk explain`: what the rules say to a request, and why.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/url.h"
#include "cli/commands.h"
#include "cli/findings.h"
#include "cli/say.h"
#include "cli/settings.h"
#include "daemon/rules.h"

enum { EXIT_BLOCKED = 10, EXIT_MODIFIED = 11 };
enum { LISTS = 255 };

struct explain {
    const char *lists[LISTS];
    bool are_trusted[LISTS];
    size_t list_count;
    const char *database, *from, *type, *client, *method;
    bool is_batch, in_words, as_json;
    struct settings settings;
    struct rulebook *rulebook; // NULL with --database
    struct buffer unfiltered;  // as long as the rulebook
    struct database *rules;
};

static const char *const words[] = {
    [VERDICT_PASS] = "allow",
    [VERDICT_EXCEPTION] = "exception",
    [VERDICT_BLOCK] = "block",
    [VERDICT_REDIRECT] = "redirect",
};

static enum error_kind open_database(struct explain *explain, struct error *error)
{
    int fd = open(explain->database, O_RDONLY | O_CLOEXEC);
    enum error_kind kind;

    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot read %s", explain->database);
    kind = database_map(&explain->rules, fd, error);
    close(fd);
    return kind;
}

/* What a service with this configuration would be given. */
static enum error_kind read_configured(struct explain *explain, struct error *error)
{
    struct config *config;
    enum error_kind kind = settings_load(&explain->settings, &config, NULL, error);

    if (kind != ERROR_NONE)
        return kind;
    if (!config->filter)
        say_warning("the configuration has filter = no: no request is asked of any rule");
    if (rules_read(explain->rulebook, config, &explain->unfiltered) == 0)
        say_warning("no filter list could be read");
    config_unref(&config);
    return ERROR_NONE;
}

static enum error_kind read_lists(struct explain *explain, struct error *error)
{
    struct list_summary summary;
    enum error_kind kind;

    if (rulebook_add_suffixes(explain->rulebook, NULL, error) != ERROR_NONE)
        say_warning("%s", error->text);
    for (size_t i = 0; i < explain->list_count; i++) {
        kind = rulebook_add(explain->rulebook, explain->lists[i], NULL, explain->are_trusted[i],
                            &summary, error);
        if (kind != ERROR_NONE)
            return kind;
    }
    return ERROR_NONE;
}

static enum error_kind compile(struct explain *explain, struct error *error)
{
    struct compile_counts counts;
    struct span image;
    enum error_kind kind;

    explain->rulebook = rulebook_new(NULL, NULL);
    kind = explain->list_count ? read_lists(explain, error) : read_configured(explain, error);
    if (kind == ERROR_NONE)
        kind = rulebook_compile(explain->rulebook, &image, &counts, error);
    if (kind == ERROR_NONE)
        kind = database_open(&explain->rules, image, error);
    return kind;
}

/* ---- many requests ---- */

static void show_verdict(const struct explain *explain, const struct verdict *verdict)
{
    struct rule_view view;

    fputs(words[verdict->action], stdout);
    if (!explain->in_words && database_rule(explain->rules, verdict->rule, &view))
        printf("\t%.*s\t%.*s:%u", SPAN_PRINT(view.text), SPAN_PRINT(view.list), view.line);
    if (!explain->in_words && verdict->action == VERDICT_REDIRECT)
        printf("\t%.*s", SPAN_PRINT(verdict->redirect));
    putchar('\n');
}

/* "type <tab> source <tab> url" a line. */
static int run_batch(const struct explain *explain)
{
    struct matcher *matcher = matcher_new(explain->rules);
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t got;
    int exit_code = EX_OK;

    while ((got = getline(&line, &room, stdin)) > 0) {
        struct span rest = span_of(line, (size_t)got - (line[got - 1] == '\n')), type;
        struct request request = { 0 };
        struct verdict verdict;
        size_t tab = span_find_byte(rest, '\t');

        number++;
        type = span_slice(rest, 0, tab);
        rest = span_from(rest, tab + (tab < rest.size));
        tab = span_find_byte(rest, '\t');
        request.source = span_slice(rest, 0, tab);
        request.url = span_from(rest, tab + (tab < rest.size));
        if (!request_type_of(type, &request.type)) {
            say_error("line %zu: unknown type \"%.*s\"", number, SPAN_PRINT(type));
            exit_code = EX_DATAERR;
            break;
        }
        matcher_ask(matcher, &request, &verdict);
        show_verdict(explain, &verdict);
    }
    free(line);
    matcher_free(&matcher);
    return exit_code;
}

/* ---- one request ---- */

/* Is it an address, or a name from the configuration? */
static bool is_address(const char *text)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static int run_one(const struct explain *explain, const char *url)
{
    static const int exit_codes[] = { [OUTCOME_ALLOWED] = EX_OK,
                                      [OUTCOME_BLOCKED] = EXIT_BLOCKED,
                                      [OUTCOME_MODIFIED] = EXIT_MODIFIED };
    struct request request = { .url = span_text(url),
                               .source = span_text(explain->from),
                               .method = span_text(explain->method ? explain->method : "GET"),
                               .type = explain->from ? TYPE_OTHER : TYPE_DOCUMENT };
    static struct url_text room;
    struct findings *findings;
    struct url parts;
    enum outcome outcome;

    if (!url_parse(&parts, &room, request.url)) {
        say_error("\"%s\" is no absolute URL: http://HOST/PATH is wanted", url);
        return EX_USAGE;
    }
    if (explain->type && !request_type_of(span_text(explain->type), &request.type)) {
        say_error("unknown type \"%s\"", explain->type);
        return EX_USAGE;
    }
    if (explain->client && is_address(explain->client))
        request.client = span_text(explain->client);
    else
        request.client_name = span_text(explain->client);
    findings = findings_new(explain->rules, &request);
    if (explain->as_json)
        findings_show_json(findings);
    else
        findings_show_text(findings);
    outcome = findings_outcome(findings);
    findings_free(&findings);
    return exit_codes[outcome];
}

static bool take_option(struct explain *explain, int letter, const char *value)
{
    if (settings_take(&explain->settings, letter, value))
        return true;
    switch (letter) {
    case 'l':
    case 't':
        if (explain->list_count == LISTS) {
            say_error("more than %d lists", LISTS);
            return false;
        }
        explain->are_trusted[explain->list_count] = letter == 't';
        explain->lists[explain->list_count++] = value;
        break;
    case 'd':
        explain->database = value;
        break;
    case 'f':
        explain->from = value;
        break;
    case 'T':
        explain->type = value;
        break;
    case 'C':
        explain->client = value;
        break;
    case 'm':
        explain->method = value;
        break;
    case 'b':
        explain->is_batch = true;
        break;
    case 'w':
        explain->in_words = true;
        break;
    case 'j':
        explain->as_json = true;
        break;
    }
    return true;
}

static int run(struct options *options)
{
    static char output[1 << 16];
    static struct explain explain;
    struct error error;
    enum error_kind kind;
    int letter, exit_code;

    while ((letter = options_next(options)) > 0)
        if (!take_option(&explain, letter, options->value))
            return EX_USAGE;
    if (letter == OPTIONS_END_NOW ||
        !options_count(options, explain.is_batch ? 0 : 1, explain.is_batch ? 0 : 1))
        return options->exit_code;
    if (explain.is_batch)
        setvbuf(stdout, output, _IOFBF, sizeof output);
    kind = explain.database ? open_database(&explain, &error) : compile(&explain, &error);
    if (kind != ERROR_NONE) {
        say_error("%s", error.text);
        exit_code = kind == ERROR_CONFIG   ? EX_CONFIG
                    : kind == ERROR_SYSTEM ? EX_NOINPUT
                                           : EX_DATAERR;
    } else {
        exit_code = explain.is_batch ? run_batch(&explain) : run_one(&explain, options->argv[0]);
    }
    database_unref(&explain.rules);
    rulebook_free(&explain.rulebook);
    buffer_release(&explain.unfiltered);
    if (say_finish() != EX_OK)
        return EX_IOERR;
    return exit_code;
}

static const struct option_row rows[] = {
    { 'l', "list", "FILE", "ask this list; may be given many times" },
    { 't', "trusted", "FILE", "the same for a list that may use what only trusted lists may" },
    { 'd', "database", "FILE", "ask a database made by `dejunk lists compile`" },
    { 'f', "from", "PAGE", "URL or host of the page that asks" },
    { 'T', "type", "TYPE", "type of the request: script, image, xhr, document ..." },
    { 'C', "client", "ADDRESS", "who asks: an address, or a name from the configuration" },
    { 'm', "method", "METHOD", "method of the request; GET if not given" },
    { 'b', "batch", NULL, "read \"type <tab> source <tab> url\" lines from standard input" },
    { 'w', "words", NULL, "with --batch: only block, redirect, exception or allow" },
    { 'j', "json", NULL, "answer in JSON: verdict, outcome, and every rule that matches" },
    SETTINGS_ROWS,
    { 0 },
};
const struct command command_explain = {
    .name = "explain",
    .help = "show what the rules say to a request, and why",
    .arguments = "[URL]",
    .about =
        "Every rule that matches is shown, with its list and line and what it does here. Without\n"
        "--list, --trusted or --database the lists and rules of the configuration are asked,\n"
        "as they are now. Without --type a request from a page is \"other\", one from nowhere a\n"
        "\"document\": a page visit. The exit code is 0 when the request passes, 10 when it is\n"
        "blocked, 11 when it is changed or answered with a stub.",
    .options = rows,
    .run = run,
};
