import jsdoc from "eslint-plugin-jsdoc";
import tseslint from "typescript-eslint";

const program = [
  "index.ts",
  "config/**/*.ts",
  "workloads/**/*.ts",
  "components/**/*.ts",
  "policy/**/*.ts",
];

export default tseslint.config(
  {
    ignores: [
      "node_modules/",
      ".local/",
      "rendered/",
      "images/",
      "**/*.js",
      "**/*.mjs",
      "**/*.cjs",
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/no-non-null-assertion": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "max-lines": ["error", { max: 250 }],
      "no-restricted-syntax": [
        "error",
        {
          selector: "CallExpression[callee.property.name='apply'] NewExpression",
          message: "A resource made inside apply is missing from the preview.",
        },
      ],
    },
  },
  {
    files: program,
    plugins: { jsdoc },
    rules: {
      // A resource is created for its effect.
      "no-new": "off",
      "jsdoc/require-jsdoc": [
        "error",
        { publicOnly: true, require: { ClassDeclaration: true, FunctionDeclaration: true } },
      ],
      "no-restricted-properties": [
        "error",
        { object: "process", property: "env", message: "Settings come from config/load.ts." },
      ],
    },
  },
  {
    files: ["components/**/*.ts"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [{ group: ["**/config/load"], allowTypeImports: true, message: "Types only." }],
        },
      ],
    },
  },
  {
    files: ["tests/**/*.ts"],
    rules: {
      "max-lines": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
    },
  },
);
