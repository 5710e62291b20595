declare module "*.css";

