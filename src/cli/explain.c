/*
 * explain.c - `dejunk explain`: what the rules say to a request, and why.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/url.h"
#include "cli/commands.h"
#include "cli/findings.h"
#include "cli/rule_source.h"
#include "cli/say.h"

enum { EXIT_BLOCKED = 10, EXIT_MODIFIED = 11 };

struct explain {
    struct rule_source source;
    const char *from, *type, *client, *method;
    bool is_batch, in_words, as_json;
};

static const char *const words[] = {
    [VERDICT_PASS] = "allow",
    [VERDICT_EXCEPTION] = "exception",
    [VERDICT_BLOCK] = "block",
    [VERDICT_REDIRECT] = "redirect",
};

/* ---- many requests ---- */

static void show_verdict(const struct explain *explain, const struct verdict *verdict)
{
    struct rule_view view;

    fputs(words[verdict->action], stdout);
    if (!explain->in_words && database_rule(explain->source.rules, verdict->rule, &view))
        printf("\t%.*s\t%.*s:%u", SPAN_PRINT(view.text), SPAN_PRINT(view.list), view.line);
    if (!explain->in_words && verdict->action == VERDICT_REDIRECT)
        printf("\t%.*s", SPAN_PRINT(verdict->redirect));
    putchar('\n');
}

/* "type <tab> source <tab> url" a line. */
static int run_batch(const struct explain *explain)
{
    struct matcher *matcher = matcher_new(explain->source.rules);
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
    findings = findings_new(explain->source.rules, &request);
    if (explain->as_json)
        findings_show_json(findings);
    else
        findings_show_text(findings);
    outcome = findings_outcome(findings);
    findings_free(&findings);
    return exit_codes[outcome];
}

static void take_option(struct explain *explain, int letter, const char *value)
{
    if (rule_source_take(&explain->source, letter, value))
        return;
    switch (letter) {
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
}

static int run(struct options *options)
{
    static char output[1 << 16];
    static struct explain explain;
    int letter, exit_code;

    while ((letter = options_next(options)) > 0)
        take_option(&explain, letter, options->value);
    if (letter == OPTIONS_END_NOW ||
        !options_count(options, explain.is_batch ? 0 : 1, explain.is_batch ? 0 : 1))
        return options->exit_code;
    if (explain.is_batch)
        setvbuf(stdout, output, _IOFBF, sizeof output);
    exit_code = rule_source_open(&explain.source);
    if (exit_code == EX_OK)
        exit_code = explain.is_batch ? run_batch(&explain) : run_one(&explain, options->argv[0]);
    rule_source_close(&explain.source);
    if (say_finish() != EX_OK)
        return EX_IOERR;
    return exit_code;
}

static const struct option_row rows[] = {
    { 'f', "from", "PAGE", "URL or host of the page that asks" },
    { 'T', "type", "TYPE", "type of the request: script, image, xhr, document ..." },
    { 'C', "client", "ADDRESS", "who asks: an address, or a name from the configuration" },
    { 'm', "method", "METHOD", "method of the request; GET if not given" },
    { 'b', "batch", NULL, "read \"type <tab> source <tab> url\" lines from standard input" },
    { 'w', "words", NULL, "with --batch: only block, redirect, exception or allow" },
    { 'j', "json", NULL, "answer in JSON: verdict, outcome, and every rule that matches" },
    RULE_SOURCE_ROWS,
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
