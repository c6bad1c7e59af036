/*
 * proxy.conf.example and the options in proxy.conf(5) say what the table of options says: they
 * are written from it here and compared. With DEJUNK_WRITE_TEXTS=1 they are brought up to date
 * instead: everything in the example from the first heading on, and what stands between the two
 * marks in the manual page. What stands before is written by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "state/config.h"
#include "state/config_table.h"

static const char example_path[] = "proxy.conf.example", manual_path[] = "docs/proxy.conf.5";
static const char first_heading[] = "# ----";
static const char begin_mark[] = ".\\\" Written from the table of options, from here\n";
static const char end_mark[] = ".\\\" to here.\n";

/* ---- words for an option ---- */

static bool has_quotes(enum config_kind kind)
{
    return kind >= CONFIG_PLAIN_TEXT && kind != CONFIG_PORTS;
}

/* A value as it is written in a config: the example, or the default. */
static void write_value(const struct config_option *option, struct buffer *out)
{
    const char *quote = has_quotes(option->kind) ? "\"" : "";

    if (option->example)
        buffer_printf(out, option->is_list ? "%s" : "%s%s%s",
                      option->is_list ? option->example : quote, option->example, quote);
    else if (!option->is_list)
        buffer_printf(out, "%s%s%s", quote, option->standard, quote);
    else
        buffer_printf(out, "{%s%s%s}", quote, option->standard, quote);
}

/* "A list of ports and ranges of ports. Default: 443, 80." */
static void write_facts(const struct config_option *option, struct buffer *out)
{
    const struct config_words *words = config_kind_words(option->kind);
    char range[CONFIG_RANGE_BYTES];

    if (option->kind == CONFIG_CHOICE) {
        buffer_printf(out, "One of");
        for (size_t i = 0; option->choices[i]; i++)
            buffer_printf(out, "%s %s", i ? "," : "", option->choices[i]);
    } else if (option->kind == CONFIG_COUNT) {
        buffer_printf(out, "A number of %s, %s", option->unit, config_write_range(option, range));
    } else if (option->kind == CONFIG_DURATION) {
        buffer_printf(out, "A duration, %s", config_write_range(option, range));
    } else if (option->kind == CONFIG_SWITCH || option->kind == CONFIG_OVERRIDE) {
        buffer_printf(out, "Yes or no");
    } else if (option->is_list) {
        buffer_printf(out, "A list of %s", words->many);
    } else {
        buffer_printf(out, "%s %s", strchr("aeiou", words->one[0]) ? "An" : "A", words->one);
    }
    if (option->is_required)
        buffer_printf(out, ". Required.");
    else
        buffer_printf(out, ". Default: %s.",
                      option->standard ? option->standard : option->standard_words);
}

/* ---- the example ---- */

static void write_comment(struct buffer *out, const char *text)
{
    enum { COLUMNS = 78 };
    size_t column = 0;

    while (*text) {
        size_t word = strcspn(text, " ");

        if (column == 0 || column + 1 + word > COLUMNS) {
            buffer_printf(out, "%s#", column ? "\n" : "");
            column = 1;
        }
        buffer_printf(out, " %.*s", (int)word, text);
        column += 1 + word;
        text += word + (text[word] == ' ');
    }
    buffer_printf(out, "\n");
}

static void write_heading(struct buffer *out, const char *heading)
{
    buffer_printf(out, "%s %s ", first_heading, heading);
    for (size_t i = strlen(heading); i < 68; i++)
        buffer_printf(out, "-");
    buffer_printf(out, "\n\n");
}

static void write_example_option(struct buffer *out, const struct config_option *option)
{
    struct buffer facts = { .limit_bytes = 1000 };

    if (option->heading)
        write_heading(out, option->heading);
    write_comment(out, option->meaning);
    write_facts(option, &facts);
    assert_true(buffer_append(&facts, span_of("", 1)));
    write_comment(out, facts.at);
    buffer_release(&facts);
    buffer_printf(out, "#%s = ", option->name);
    write_value(option, out);
    buffer_printf(out, "\n\n");
}

static void write_example_section(struct buffer *out, const struct config_section *section)
{
    char heading[100];
    const char *rest = section->example;

    if (section->title_words)
        snprintf(heading, sizeof heading, "%s \"%s\" {...}", section->name, section->title_words);
    else
        snprintf(heading, sizeof heading, "%s {...}", section->name);
    write_heading(out, heading);
    write_comment(out, section->meaning);
    for (size_t i = 0; i < section->option_count; i++) {
        const struct config_option *option = &section->options[i];
        struct buffer text = { .limit_bytes = 1000 };

        buffer_printf(&text, "- %s: %s ", option->name, option->meaning);
        write_facts(option, &text);
        assert_true(buffer_append(&text, span_of("", 1)));
        write_comment(out, text.at);
        buffer_release(&text);
    }
    while (*rest) {
        size_t line = strcspn(rest, "\n");

        buffer_printf(out, "#%.*s\n", (int)line, rest);
        rest += line + (rest[line] == '\n');
    }
    buffer_printf(out, "\n");
}

static void write_example(struct buffer *out)
{
    const struct config_section *sections = config_sections();

    for (size_t i = 0; i < sections[0].option_count; i++)
        write_example_option(out, &sections[0].options[i]);
    for (size_t i = 1; i < CONFIG_SECTIONS; i++)
        write_example_section(out, &sections[i]);
    out->size--; // no empty line at the end
}

/* ---- the manual page ---- */

static void write_roff(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            buffer_printf(out, "\\e");
        else if (*text == '-')
            buffer_printf(out, "\\-");
        else if (*text == '\'')
            buffer_printf(out, "\\(aq");
        else
            buffer_printf(out, "%c", *text);
    }
}

static void write_manual_option(struct buffer *out, const struct config_option *option)
{
    struct buffer facts = { .limit_bytes = 1000 };

    buffer_printf(out, ".TP\n.B %s\n", option->name);
    write_roff(out, option->meaning);
    write_facts(option, &facts);
    assert_true(buffer_append(&facts, span_of("", 1)));
    buffer_printf(out, "\n.br\n");
    write_roff(out, facts.at);
    buffer_printf(out, "\n");
    buffer_release(&facts);
}

static void write_manual(struct buffer *out)
{
    const struct config_section *sections = config_sections();

    for (size_t i = 0; i < CONFIG_SECTIONS; i++) {
        const struct config_section *section = &sections[i];

        if (section->name) {
            buffer_printf(out, ".SS %s ", section->name);
            if (section->title_words)
                buffer_printf(out, "\"\"\"%s\"\"\" ", section->title_words);
            buffer_printf(out, "{...}\n");
            write_roff(out, section->meaning);
            buffer_printf(out, "\n.PP\n.nf\n.RS 4\n");
            write_roff(out, section->example);
            buffer_printf(out, "\n.RE\n.fi\n");
        }
        for (size_t j = 0; j < section->option_count; j++) {
            if (section->options[j].heading)
                buffer_printf(out, ".SS %s\n", section->options[j].heading);
            write_manual_option(out, &section->options[j]);
        }
    }
}

/* ---- compared ---- */

static struct buffer read_text(const char *path)
{
    struct buffer text = { .limit_bytes = 1 << 20 };
    FILE *file = fopen(path, "r");
    char block[4096];
    size_t got;

    if (!file)
        fail_msg("%s: tests run from the top of the repository", path);
    while ((got = fread(block, 1, sizeof block, file)) > 0)
        assert_true(buffer_append(&text, span_of(block, got)));
    fclose(file);
    return text;
}

/* Holds the bytes from `begin` to `end` of the file to `want`, or writes them. */
static void hold(const char *path, const struct buffer *text, size_t begin, size_t end,
                 struct span want)
{
    struct span is = span_slice(buffer_span(text), begin, end - begin);
    size_t line = 1, at = 0;

    if (getenv("DEJUNK_WRITE_TEXTS")) {
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        fwrite(text->at, 1, begin, file);
        fwrite(want.at, 1, want.size, file);
        fwrite(text->at + end, 1, text->size - end, file);
        assert_int_equal(fclose(file), 0);
        return;
    }
    if (span_equal(is, want))
        return;
    for (size_t i = 0; i < begin; i++)
        line += text->at[i] == '\n';
    while (at < is.size && at < want.size && is.at[at] == want.at[at])
        line += is.at[at++] == '\n';
    fail_msg("%s:%zu: not what the table of options says; DEJUNK_WRITE_TEXTS=1 mends it", path,
             line);
}

static void example_is_up_to_date(void **state)
{
    struct buffer text = read_text(example_path), want = { .limit_bytes = 1 << 20 };

    (void)state;
    write_example(&want);
    hold(example_path, &text, span_find(buffer_span(&text), span_text(first_heading)), text.size,
         buffer_span(&want));
    buffer_release(&text);
    buffer_release(&want);
}

static void manual_is_up_to_date(void **state)
{
    struct buffer text = read_text(manual_path), want = { .limit_bytes = 1 << 20 };
    size_t begin = span_find(buffer_span(&text), span_text(begin_mark)) + strlen(begin_mark);
    size_t end = span_find(buffer_span(&text), span_text(end_mark));

    (void)state;
    assert_true(begin <= end && end < text.size);
    write_manual(&want);
    hold(manual_path, &text, begin, end, buffer_span(&want));
    buffer_release(&text);
    buffer_release(&want);
}

/* As it is, and with every option in it switched on. */
static void example_is_good(void **state)
{
    static const char secret[] = "$y$j9T$NFTVQjt/MesSS3sQQjmjh."
                                 "$kUu0/nnCl9H.gLv261G8trbii2UDFw6WIzpp7ioRLF9";
    struct buffer text = read_text(example_path), all = { .limit_bytes = 1 << 20 };
    struct span rest = buffer_span(&text), placeholder = SPAN("$y$j9T$...");
    struct config_source item = { SPAN("example"), rest };
    const struct config_sources sources = { .items = &item, .count = 1 };
    struct config *config;
    struct error error;

    (void)state;
    if (config_parse(&config, &sources, &error))
        fail_msg("%s", error.text);
    config_unref(&config);
    while (rest.size > 0) {
        struct span line = span_slice(rest, 0, span_find_byte(rest, '\n') + 1);
        size_t hole = span_find(line, placeholder);

        rest = span_from(rest, line.size);
        if (line.size > 2 && line.at[0] == '#' && line.at[1] != ' ' && line.at[1] != '\n')
            line.at++, line.size--, hole -= hole <= line.size;
        else if (line.size > 5 && span_starts(line, SPAN("#    ")))
            line.at++, line.size--, hole--;
        if (hole < line.size) {
            assert_true(buffer_append(&all, span_slice(line, 0, hole)));
            assert_true(buffer_append(&all, span_text(secret)));
            line = span_from(line, hole + placeholder.size);
        }
        assert_true(buffer_append(&all, line));
    }
    item.text = buffer_span(&all);
    if (config_parse(&config, &sources, &error))
        fail_msg("%s\n%.*s", error.text, SPAN_PRINT(item.text));
    assert_int_equal(config->user_count, 1);
    assert_int_equal(config->parent_count, 1);
    assert_int_equal(config->cookie_policy.reject.count, 1);
    config_unref(&config);
    buffer_release(&text);
    buffer_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_is_up_to_date),
        cmocka_unit_test(manual_is_up_to_date),
        cmocka_unit_test(example_is_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
