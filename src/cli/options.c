#include "cli/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/nearest.h"
#include "cli/say.h"

enum { ROWS = 24 }; // options of one command, at most
static const struct option_row help_row = { 'h', "help", NULL, "show this help" };

static size_t count_rows(const struct command *command)
{
    size_t count = 0;

    while (command->options && command->options[count].letter)
        count++;
    assert(count < ROWS);
    return count;
}

static const struct option_row *row_at(const struct command *command, size_t index)
{
    return index < count_rows(command) ? &command->options[index] : &help_row;
}

static void show_row(const struct option_row *row)
{
    char left[40];

    snprintf(left, sizeof left, "-%c, --%s%s%s", row->letter, row->name, row->argument ? "=" : "",
             row->argument ? row->argument : "");
    printf("  %-24s %s\n", left, row->help);
}

void options_show_help(const struct command *command)
{
    const char *bold = say_bold(stdout), *plain = say_plain(stdout);

    printf("%sUsage:%s dejunk %s [OPTION]...%s%s\n\n", bold, plain, command->name,
           command->arguments ? " " : "", command->arguments ? command->arguments : "");
    printf("%c%s.\n",
           command->help[0] >= 'a' && command->help[0] <= 'z' ? command->help[0] - 32
                                                              : command->help[0],
           command->help + 1);
    if (command->about)
        printf("\n%s\n", command->about);
    printf("\n%sOptions:%s\n", bold, plain);
    for (size_t i = 0; i <= count_rows(command); i++)
        show_row(row_at(command, i));
}

static int mistake(struct options *options)
{
    fprintf(stderr, "Try: dejunk help %s\n", options->command->name);
    options->exit_code = EX_USAGE;
    return OPTIONS_END_NOW;
}

/* getopt_long() has met something it does not know, or without its argument. */
static int complain(struct options *options, int result, const char *word)
{
    struct nearest nearest;
    struct span name;

    if (result == ':') {
        say_error("%s: the option %s needs an argument", options->command->name, word);
        return mistake(options);
    }
    if (strncmp(word, "--", 2) != 0) {
        say_error("%s: unknown option -%c", options->command->name, optopt);
        return mistake(options);
    }
    name = span_text(word + 2);
    name.size = span_find_byte(name, '=');
    nearest_init(&nearest, name);
    for (size_t i = 0; i <= count_rows(options->command); i++)
        nearest_offer(&nearest, row_at(options->command, i)->name);
    if (nearest.name && nearest.distance == 0)
        say_error("%s: the option --%s takes no argument", options->command->name, nearest.name);
    else if (nearest.name)
        say_error("%s: unknown option --%.*s; did you mean --%s?", options->command->name,
                  SPAN_PRINT(name), nearest.name);
    else
        say_error("%s: unknown option --%.*s", options->command->name, SPAN_PRINT(name));
    return mistake(options);
}

int options_next(struct options *options)
{
    char letters[2 + 2 * ROWS] = ":";
    struct option names[ROWS + 1] = { 0 };
    size_t rows = count_rows(options->command) + 1, size = 1;
    int word, result;

    for (size_t i = 0; i < rows; i++) {
        const struct option_row *row = row_at(options->command, i);

        letters[size++] = row->letter;
        if (row->argument)
            letters[size++] = ':';
        names[i] = (struct option){ row->name, row->argument ? required_argument : no_argument,
                                    NULL, row->letter };
    }
    letters[size] = '\0';
    if (!options->has_begun) {
        optind = 0; // GNU: from the start, also when another line was read before
        opterr = 0;
        options->has_begun = true;
    }
    word = optind ? optind : 1;
    result = getopt_long(options->argc, options->argv, letters, names, NULL);
    if (result == -1) {
        options->argv += optind;
        options->argc -= optind;
        return OPTIONS_DONE;
    }
    if (result == '?' || result == ':') // long options are one word; getopt has stepped over it
        return complain(options, result, options->argv[optind > word ? optind - 1 : word]);
    if (result == 'h') {
        options_show_help(options->command);
        options->exit_code = say_finish();
        return OPTIONS_END_NOW;
    }
    options->value = optarg;
    return result;
}

bool options_count(struct options *options, int least, int most)
{
    if (options->argc < least) {
        say_error("%s: something is missing: %s", options->command->name,
                  options->command->arguments);
        mistake(options);
        return false;
    }
    if (options->argc > most) {
        say_error("%s: \"%s\" is one argument too many", options->command->name,
                  options->argv[most]);
        mistake(options);
        return false;
    }
    return true;
}
