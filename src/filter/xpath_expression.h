/*
 * xpath_expression.h - an XPath taken apart: its operators, steps and calls as a tree in an array.
 *
 * What it may say stands in xpath.h. Texts point into what was read, which must outlive it. The
 * reader calls itself at most XPATH_NESTING deep.
 */
#ifndef DEJUNK_FILTER_XPATH_EXPRESSION_H
#define DEJUNK_FILTER_XPATH_EXPRESSION_H

#include "base/bytes.h"

enum {
    XPATH_PARTS = 256, // of an expression
    XPATH_NESTING = 24,
    XPATH_ARGUMENTS = 16, // of a call
};

enum part_kind {
    PART_OR,
    PART_AND,
    PART_EQUAL,
    PART_UNEQUAL,
    PART_LESS,
    PART_LESS_EQUAL,
    PART_GREATER,
    PART_GREATER_EQUAL,
    PART_PLUS,
    PART_MINUS,
    PART_TIMES,
    PART_DIV,
    PART_MOD,
    PART_UNION,    // two operands
    PART_NEGATIVE, // one
    PART_NUMBER,
    PART_STRING,
    PART_CALL,      // operands are arguments
    PART_PATH,      // operands are steps; `is_absolute`
    PART_FILTER,    // the first operand's nodes, then predicates and steps
    PART_STEP,      // operands are predicates
    PART_PREDICATE, // of a PART_FILTER: its operand
};

enum axis {
    AXIS_CHILD,
    AXIS_DESCENDANT,
    AXIS_DESCENDANT_OR_SELF,
    AXIS_PARENT,
    AXIS_ANCESTOR,
    AXIS_ANCESTOR_OR_SELF,
    AXIS_SELF,
    AXIS_ATTRIBUTE,
    AXIS_FOLLOWING_SIBLING,
    AXIS_PRECEDING_SIBLING,
    AXES
};

enum test { TEST_NAME, TEST_PREFIX /* "p:*" */, TEST_ANY, TEST_TEXT, TEST_NODE };

enum function {
    CALL_POSITION,
    CALL_LAST,
    CALL_COUNT,
    CALL_NAME,
    CALL_LOCAL_NAME,
    CALL_STRING,
    CALL_CONCAT,
    CALL_STARTS_WITH,
    CALL_CONTAINS,
    CALL_SUBSTRING_BEFORE,
    CALL_SUBSTRING_AFTER,
    CALL_SUBSTRING,
    CALL_STRING_LENGTH,
    CALL_NORMALIZE_SPACE,
    CALL_TRANSLATE,
    CALL_BOOLEAN,
    CALL_NOT,
    CALL_TRUE,
    CALL_FALSE,
    CALL_NUMBER,
    CALL_SUM,
    CALL_FLOOR,
    CALL_CEILING,
    CALL_ROUND,
    CALLS
};

struct part {
    uint8_t kind, axis, test, function;
    bool is_absolute;
    uint16_t first, next; // operands: a list by `next`; 0: none (part 0 is nobody's operand)
    double number;
    struct span text;
};

struct expression {
    struct part parts[XPATH_PARTS];
    size_t count;
    uint16_t root;
};

/* False: it cannot be read, is too long or too deep, or does not name nodes. */
bool xpath_expression_read(struct expression *expression, struct span text);

/* Is a function asked about the node under examination when it has no argument? */
bool xpath_call_is_of_node(enum function function);

#endif
