/*
 * lists.c - `dejunk lists`: what becomes of the lines of filter lists, and databases made of them.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/say.h"
#include "daemon/rulebook.h"

static bool shows_idle;

/* "FILE:LINE: reason: text", as compilers do. */
static void on_problem(void *owner, const char *file, uint32_t line, struct span text,
                       enum rule_reason reason)
{
    char shown[200];

    (void)owner;
    if (!rule_reason_is_idle(reason) || reason == REASON_UNTRUSTED || reason == REASON_PART ||
        shows_idle)
        printf("%s:%u: %s: %s\n", file, line, rule_reason_text(reason),
               log_text(shown, sizeof shown, text));
}

static void show_summary(const char *file, const struct list_summary *summary)
{
    uint32_t rules = summary->network + summary->hosts + summary->cosmetic;

    printf("%s: %u lines: %u network rules, %u hosts, %u cosmetic, %u comments, %u left out by "
           "!#if\n",
           file, summary->lines, summary->network, summary->hosts, summary->cosmetic,
           summary->comments, summary->left_out);
    for (int reason = REASON_NONE + 1; reason < RULE_REASONS; reason++)
        if (summary->by_reason[reason])
            printf("  %6u %s: %s\n", summary->by_reason[reason],
                   reason == REASON_PART                           ? "partly"
                   : rule_reason_is_idle((enum rule_reason)reason) ? "idle"
                                                                   : "bad",
                   rule_reason_text((enum rule_reason)reason));
    if (rules + summary->idle + summary->bad > 0)
        printf("  %.2f %% accepted\n",
               100.0 * (rules + summary->idle) / (rules + summary->idle + summary->bad));
}

static int write_database(struct rulebook *rulebook, const char *file)
{
    struct compile_counts counts;
    struct span image;
    struct error error;
    FILE *out;
    bool is_whole;

    if (rulebook_compile(rulebook, &image, &counts, &error) != ERROR_NONE) {
        say_error("%s", error.text);
        return EX_DATAERR;
    }
    out = fopen(file, "wbe");
    is_whole = out && fwrite(image.at, 1, image.size, out) == image.size;
    if (out && fclose(out) != 0)
        is_whole = false;
    if (!is_whole) {
        say_error("cannot write %s", file);
        return EX_CANTCREAT;
    }
    printf("%s: %zu bytes, %u hosts and %u other rules\n", file, image.size, counts.plain_hosts,
           counts.rules);
    return EX_OK;
}

static int run(struct options *options)
{
    const char *output = NULL;
    bool is_trusted = false, compiles;
    struct rulebook *rulebook;
    struct error error;
    int letter, code = EX_OK, bad = 0;

    shows_idle = false;
    while ((letter = options_next(options)) > 0) {
        if (letter == 'o')
            output = options->value;
        else if (letter == 't')
            is_trusted = true;
        else
            shows_idle = true;
    }
    if (letter == OPTIONS_END_NOW || !options_count(options, 2, 257))
        return options->exit_code;
    compiles = strcmp(options->argv[0], "compile") == 0;
    if ((!compiles && strcmp(options->argv[0], "check") != 0) || compiles != (output != NULL)) {
        say_error("lists check LIST..., or lists compile -o FILE LIST...");
        return EX_USAGE;
    }
    rulebook = rulebook_new(compiles ? NULL : on_problem, NULL);
    if (rulebook_add_suffixes(rulebook, NULL, &error) != ERROR_NONE)
        say_error("%s", error.text);
    for (int i = 1; i < options->argc && code == EX_OK; i++) {
        struct list_summary summary;

        if (rulebook_add(rulebook, options->argv[i], NULL, is_trusted, &summary, &error) !=
            ERROR_NONE) {
            say_error("%s", error.text);
            code = EX_NOINPUT;
            break;
        }
        bad += summary.bad > 0;
        if (!compiles)
            show_summary(options->argv[i], &summary);
    }
    if (code == EX_OK && compiles)
        code = write_database(rulebook, output);
    else if (code == EX_OK && bad > 0)
        code = 1; // the check found something
    rulebook_free(&rulebook);
    return code;
}

static const struct option_row rows[] = {
    { 'o', "output", "FILE", "where the compiled database goes" },
    { 't', "trusted", NULL, "take the lists as trusted ones" },
    { 'i', "idle", NULL, "show lines, too, that no proxy can act on" },
    { 0 },
};
const struct command command_lists = {
    .name = "lists",
    .help = "check filter lists, or compile them to a database",
    .arguments = "check|compile LIST...",
    .about = "check shows each line that is no rule in force, with file, line and reason, then\n"
             "what became of all lines; the exit code is 1 when any was bad. compile writes a\n"
             "database for `dejunk explain --database`. Lists may be compressed by gzip.",
    .options = rows,
    .run = run,
};
