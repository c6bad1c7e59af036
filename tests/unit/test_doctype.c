/* Doctypes: what they say, and which of them are quirky. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "html/doctype.h"

#define TRANSITIONAL "-//W3C//DTD HTML 4.01 Transitional//EN"

static const struct {
    const char *token, *name, *public_id, *system_id; // NULL: not there
    bool is_correct, is_quirky;
} cases[] = {
    { "<!doctype html>", "html", NULL, NULL, true, false },
    { "<!DOCTYPE HTML>", "HTML", NULL, NULL, true, false },
    { "<!doctypehtml>", "html", NULL, NULL, true, false },
    { "<!doctype\thtml >", "html", NULL, NULL, true, false },
    { "<!doctype>", "", NULL, NULL, false, true },
    { "<!doctype html", "html", NULL, NULL, false, true },
    { "<!doctype svg>", "svg", NULL, NULL, true, true },
    { "<!doctype html system \"about:legacy-compat\">", "html", NULL, "about:legacy-compat", true,
      false },
    { "<!doctype html public \"" TRANSITIONAL "\">", "html", TRANSITIONAL, NULL, true, true },
    { "<!doctype html public \"" TRANSITIONAL "\" \"http://www.w3.org/TR/html4/loose.dtd\">",
      "html", TRANSITIONAL, "http://www.w3.org/TR/html4/loose.dtd", true, false },
    { "<!doctype html public '-//W3C//DTD XHTML 1.0 Strict//EN' 'x'>", "html",
      "-//W3C//DTD XHTML 1.0 Strict//EN", "x", true, false },
    { "<!doctype html PUBLIC '-//W3C//DTD HTML 3.2//EN'>", "html", "-//W3C//DTD HTML 3.2//EN", NULL,
      true, true },
    { "<!doctype html PUBLIC \"html\">", "html", "html", NULL, true, true },
    { "<!doctype html public>", "html", NULL, NULL, false, true },
    { "<!doctype html public x>", "html", NULL, NULL, false, true },
    { "<!doctype html public \"x>", "html", "x", NULL, false, true },
    { "<!doctype html system 'http://www.ibm.com/data/dtd/v11/ibmxhtml1-transitional.dtd'>", "html",
      NULL, "http://www.ibm.com/data/dtd/v11/ibmxhtml1-transitional.dtd", true, true },
};

static bool is(bool is_there, struct span got, const char *want)
{
    return is_there == (want != NULL) && (!want || span_equal(got, span_text(want)));
}

static void says_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doctype doctype;

        doctype_read(span_text(cases[i].token), &doctype);
        if (!span_equal(doctype.name, span_text(cases[i].name)) ||
            !is(doctype.has_public_id, doctype.public_id, cases[i].public_id) ||
            !is(doctype.has_system_id, doctype.system_id, cases[i].system_id) ||
            doctype.is_correct != cases[i].is_correct ||
            doctype_is_quirky(&doctype) != cases[i].is_quirky)
            fail_msg("%s: '%.*s' %d %d %d %d", cases[i].token, SPAN_PRINT(doctype.name),
                     doctype.has_public_id, doctype.has_system_id, doctype.is_correct,
                     doctype_is_quirky(&doctype));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(says_what_it_says) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
